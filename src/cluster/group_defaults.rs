//! The defaults of the installation: a changed file concerns every group.

use std::sync::Arc;

use kcg_runtime::config_file::POLL_INTERVAL;
use kcg_runtime::probes::ReadinessCheck;
use kcg_webhook::group_defaults::{DefaultsFile, METRIC};
use prometheus_client::registry::Registry;
use tokio::time::sleep;

use super::Cluster;
use super::handlers::Listener;

/// What the controller does without a file that it can use, and the cure.
const NOT_LOADED: &str = "no group is reconciled with other defaults than the file's: correct the file of \
                          --defaults (doctor --defaults FILE checks it); a restart is not needed";

/// Follows the file of defaults until it is dropped, and fails the readiness check until the file can be
/// used. All groups are affected by a change; each compares its owned resources with the new defaults.
pub(crate) fn watch(
    cluster: Arc<Cluster>,
    registry: &mut Registry,
    check: ReadinessCheck,
    listener: impl Listener,
) -> impl Future<Output = ()> + Send + 'static {
    cluster.defaults.register(registry, METRIC);
    async move {
        let follow = cluster.defaults.watch(POLL_INTERVAL, || listener(cluster.keys()));
        tokio::join!(follow, update_readiness(&cluster.defaults, check));
    }
}

/// Waits until the file of defaults can be used.
pub(crate) async fn loaded(cluster: &Cluster) {
    if !cluster.defaults.is_loaded() {
        tracing::warn!("{NOT_LOADED}");
    }
    cluster.defaults.loaded().await;
}

/// The reason has what is wrong in the file, and the cure.
async fn update_readiness(defaults: &DefaultsFile, check: ReadinessCheck) {
    while !defaults.is_loaded() {
        if let Some(error) = &defaults.in_force().rejected {
            check.fail(&format!("{error}; {NOT_LOADED}"));
        }
        tokio::select! {
            () = defaults.loaded() => {}
            () = sleep(POLL_INTERVAL) => {}
        }
    }
    check.pass();
}
