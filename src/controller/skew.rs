//! Whether the cluster's CRD is of this version, said in the log and by a metric. A CRD of another version drops fields
//! that this one writes, or asks for what it does not know.

use std::time::Duration;

use kcg_api::crd::{VERSION, VersionSkew};
use kube::Client;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::sleep;

use crate::cluster::schema;

/// How often is looked: an upgrade applies the CRD first and the Deployments minutes later.
const PERIOD: Duration = Duration::from_mins(5);
/// How soon again where the cluster did not answer.
const AGAIN: Duration = Duration::from_secs(30);

/// Looks again and again until it is dropped.
pub async fn watch(client: Client, gauge: Gauge) {
    let mut known = VersionSkew::None;
    loop {
        let wait = match schema::skew(&client).await {
            // A CRD that is gone says nothing of its version; the watch of groups says that it is gone.
            Ok(None) => AGAIN,
            Ok(Some(found)) => {
                gauge.set(found.sign());
                if found != known {
                    say(&found);
                }
                known = found;
                PERIOD
            }
            Err(error) => {
                tracing::debug!(%error, "the CRD's version is not known");
                AGAIN
            }
        };
        sleep(wait).await;
    }
}

/// The gauge of [`watch`].
pub fn gauge(registry: &mut Registry) -> Gauge {
    let gauge = Gauge::default();
    let help = "The cluster's CRD beside this version: -1 older, 0 the same, 1 newer";
    registry.register("crd_skew", help, gauge.clone());
    gauge
}

fn say(skew: &VersionSkew) {
    match skew {
        VersionSkew::None => tracing::info!("the CRD is of this version again"),
        VersionSkew::Older(_) | VersionSkew::Unknown => tracing::warn!(
            crd = version(skew),
            binary = VERSION,
            "the CRD is older than this operator: apply the CRD of this version (kubectl apply -k deploy/crd)"
        ),
        VersionSkew::Newer(_) => tracing::warn!(
            crd = version(skew),
            binary = VERSION,
            "the CRD is newer than this operator: upgrade the operator, too"
        ),
    }
}

fn version(skew: &VersionSkew) -> &str {
    match skew {
        VersionSkew::None => VERSION,
        VersionSkew::Older(version) | VersionSkew::Newer(version) => version,
        VersionSkew::Unknown => "unknown",
    }
}
