//! The version of the CRD in the cluster, compared with this binary's. A CRD of another version
//! drops fields that this version writes, or has fields that it does not know.

use std::time::Duration;

use http::Request;
use kcg_api::crd::{VERSION, VersionSkew};
use kcg_api::names;
use kcg_runtime::client::{RequestError, with_deadline};
use kube::Client;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::time::sleep;

/// How often the version is compared: an upgrade applies the CRD first and the Deployments minutes
/// later.
const INTERVAL: Duration = Duration::from_mins(5);
/// The interval while the cluster does not respond or does not serve groups.
const RETRY: Duration = Duration::from_secs(30);

/// How the version of the cluster's CRD differs from this binary's; `None` if the cluster does not
/// serve groups.
pub(crate) async fn skew(client: &Client) -> Result<Option<VersionSkew>, RequestError> {
    let path = format!("/openapi/v3/apis/{}/{}", names::GROUP, names::VERSION);
    let response = with_deadline("read the schema of KconsumerGroups", async {
        let request = Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request::<Value>(request).await
    });
    match response.await {
        Ok(document) => Ok(description(&document).map(VersionSkew::from_description)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn description(document: &Value) -> Option<&str> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let (_, schema) = schemas.iter().find(|(name, _)| name.ends_with(&format!(".{}", names::KIND)))?;
    Some(schema["description"].as_str().unwrap_or_default())
}

/// Compares the versions until it is dropped, and reports a difference in the log and in the gauge.
pub(crate) async fn watch(client: Client, gauge: Gauge) {
    let mut known = VersionSkew::None;
    loop {
        let interval = match skew(&client).await {
            // The watch of the groups reports that the CRD is missing.
            Ok(None) => RETRY,
            Ok(Some(found)) => {
                gauge.set(found.sign());
                if found != known {
                    log(&found);
                }
                known = found;
                INTERVAL
            }
            Err(error) => {
                tracing::debug!(%error, "the CRD's version could not be read");
                RETRY
            }
        };
        sleep(interval).await;
    }
}

/// The gauge for [`watch`].
pub(crate) fn gauge(registry: &mut Registry) -> Gauge {
    let gauge = Gauge::default();
    let help = "The version of the CRD compared with the operator's: -1 older, 0 the same, 1 newer";
    registry.register("crd_version_skew", help, gauge.clone());
    gauge
}

fn log(skew: &VersionSkew) {
    match skew {
        VersionSkew::None => {
            tracing::info!(version = VERSION, "CRD and operator have the same version again");
        }
        VersionSkew::Older(_) | VersionSkew::Unknown => tracing::warn!(
            crd = version(skew),
            operator = VERSION,
            "the CRD is older than this operator: apply the CRD of this version (kubectl apply -k deploy/crd)"
        ),
        VersionSkew::Newer(_) => tracing::warn!(
            crd = version(skew),
            operator = VERSION,
            "the CRD is newer than this operator: upgrade the operator as well"
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
