//! Which metrics of pods the custom metrics API serves. No watch tells when a metrics adapter gets a
//! rule, so its discovery is read once a minute.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kcg_core::lag::ServedMetrics;
use kcg_runtime::client::{RequestError, get_bounded};
use kube::Client;
use serde::Deserialize;
use tokio::time::sleep;

use super::Cluster;
use super::handlers::Listener;

const API: &str = "custom.metrics.k8s.io";
/// An adapter itself looks for new metrics every 10 minutes by default.
const INTERVAL: Duration = Duration::from_mins(1);
/// The longest list of metrics that is read: an adapter whose rules match every series of a large
/// Prometheus lists some tens of thousands, of about 200 bytes each.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// An APIResourceList without what is not needed of it.
#[derive(Deserialize)]
struct MetricList {
    resources: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    name: String,
}

/// The names of the served metrics of pods. An API that is registered but does not respond counts
/// as not served.
pub(crate) async fn pod_metrics(client: &Client) -> Result<Option<Vec<String>>, RequestError> {
    let is_absent = |error: &RequestError| matches!(error.code(), Some(404 | 503));
    let group: APIGroup = match get_bounded(client, &format!("/apis/{API}"), MAX_LIST).await {
        Err(error) if is_absent(&error) => return Ok(None),
        response => response?,
    };
    let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
        return Ok(None);
    };
    let path = format!("/apis/{}", version.group_version);
    let list: MetricList = match get_bounded(client, &path, MAX_LIST).await {
        Err(error) if is_absent(&error) => return Ok(None),
        response => response?,
    };
    let of_pods = |metric: Metric| Some(metric.name.strip_prefix("pods/")?.to_owned());
    Ok(Some(list.resources.into_iter().filter_map(of_pods).collect()))
}

/// Keeps the cluster's served metrics current until it is dropped. While the API does not respond,
/// the last known metrics count.
pub(crate) async fn watch(cluster: Arc<Cluster>, client: Client, listener: impl Listener) {
    let mut reported = String::new();
    loop {
        match pod_metrics(&client).await {
            Ok(Some(names)) => listener(cluster.cache().set_served_metrics(ServedMetrics::of(names))),
            Ok(None) => {}
            // It does not pass by itself.
            Err(error @ RequestError::TooLarge { .. }) if error.to_string() != reported => {
                reported = error.to_string();
                tracing::warn!(%error, "the served metrics cannot be read: let the rules of the metrics adapter match fewer series");
            }
            Err(error) => tracing::debug!(%error, "the served metrics could not be read"),
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    /// A cluster whose metrics adapter lists these resources.
    fn cluster(resources: &Value) -> Client {
        let list = json!({"kind": "APIResourceList", "groupVersion": "custom.metrics.k8s.io/v1beta2", "resources": resources});
        let version = json!({"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"});
        let group =
            json!({"kind": "APIGroup", "name": API, "versions": [version], "preferredVersion": version});
        Client::new(
            service_fn(move |request: Request<Body>| {
                let is_group = request.uri().path() == "/apis/custom.metrics.k8s.io";
                let body = if is_group { group.to_string() } else { list.to_string() };
                async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.into_bytes()))) }
            }),
            "default",
        )
    }

    fn entry(name: &str) -> Value {
        json!({"name": name, "singularName": "", "namespaced": true, "kind": "MetricValueList", "verbs": ["get"]})
    }

    #[tokio::test]
    async fn only_the_metrics_of_pods_are_listed() {
        let client = cluster(&json!([entry("pods/lag"), entry("services/lag"), entry("pods/other")]));
        assert_eq!(pod_metrics(&client).await.unwrap().unwrap(), ["lag", "other"]);
    }

    #[tokio::test]
    async fn a_list_above_its_bound_is_refused() {
        let list = |bytes: usize| json!(vec![entry(&format!("pods/{}", "m".repeat(bytes / 16))); 16]);
        assert_eq!(pod_metrics(&cluster(&list(MAX_LIST / 2))).await.unwrap().unwrap().len(), 16);
        let error = pod_metrics(&cluster(&list(MAX_LIST))).await.unwrap_err().to_string();
        assert!(error.ends_with("the response is longer than 16777216 bytes"), "{error}");
    }
}
