//! Which metrics of pods the custom metrics API serves. No watch tells when a metrics adapter gets a
//! rule, so its discovery is read once a minute.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResource, APIResourceList};
use kcg_core::lag::ServedMetrics;
use kcg_runtime::client::{RequestError, with_deadline};
use kube::Client;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::Cluster;
use super::handlers::Listener;

const API: &str = "custom.metrics.k8s.io";
/// An adapter itself looks for new metrics every 10 minutes by default.
const INTERVAL: Duration = Duration::from_mins(1);

/// The names of the served metrics of pods. An API that is registered but does not respond counts
/// as not served.
pub(crate) async fn pod_metrics(client: &Client) -> Result<Option<Vec<String>>, RequestError> {
    let is_absent = |error: &RequestError| matches!(error.code(), Some(404 | 503));
    let group: APIGroup = match get(client, &format!("/apis/{API}")).await {
        Err(error) if is_absent(&error) => return Ok(None),
        response => response?,
    };
    let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
        return Ok(None);
    };
    let list: APIResourceList = match get(client, &format!("/apis/{}", version.group_version)).await {
        Err(error) if is_absent(&error) => return Ok(None),
        response => response?,
    };
    let of_pods = |resource: APIResource| Some(resource.name.strip_prefix("pods/")?.to_owned());
    Ok(Some(list.resources.into_iter().filter_map(of_pods).collect()))
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, RequestError> {
    with_deadline(format!("get {path}"), async {
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request(request).await
    })
    .await
}

/// Keeps the cluster's served metrics current until it is dropped. While the API does not respond,
/// the last known metrics count.
pub(crate) async fn watch(cluster: Arc<Cluster>, client: Client, listener: impl Listener) {
    loop {
        match pod_metrics(&client).await {
            Ok(Some(names)) => listener(cluster.cache().set_served_metrics(ServedMetrics::of(names))),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the served metrics could not be read"),
        }
        sleep(INTERVAL).await;
    }
}
