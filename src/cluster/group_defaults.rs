//! The defaults of the installation: a changed file concerns every group.

use std::sync::Arc;

use kcg_runtime::config_file::POLL_INTERVAL;
use kcg_webhook::group_defaults::METRIC;
use prometheus_client::registry::Registry;

use super::Cluster;
use super::handlers::Listener;

/// Follows the file of defaults until it is dropped. All groups are affected by a change; each compares
/// its owned resources with the new defaults.
pub(crate) fn watch(
    cluster: Arc<Cluster>,
    registry: &mut Registry,
    listener: impl Listener,
) -> impl Future<Output = ()> + Send + 'static {
    cluster.defaults.register(registry, METRIC);
    async move { cluster.defaults.watch(POLL_INTERVAL, || listener(cluster.keys())).await }
}
