//! The HTTP handlers of the custom metrics stub: discovery, and one value for each pod.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Loads;

pub(super) const GROUP: &str = "custom.metrics.k8s.io";
pub(super) const VERSION: &str = "v1beta2";

#[derive(Clone)]
struct Shared {
    client: Client,
    loads: Loads,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    label_selector: Option<String>,
}

pub(super) fn router(client: Client, loads: Loads) -> Router {
    let base = format!("/apis/{GROUP}/{VERSION}");
    Router::new()
        .route(&base, get(discovery))
        .route(&format!("{base}/namespaces/{{namespace}}/pods/{{pods}}/{{metric}}"), get(values))
        .with_state(Shared { client, loads })
}

async fn discovery(State(shared): State<Shared>) -> Json<Value> {
    let mut metrics: Vec<String> = shared.loads.lock().iter().map(|load| load.metric.clone()).collect();
    metrics.sort();
    metrics.dedup();
    let resource = |metric: String| {
        json!({
            "name": format!("pods/{metric}"), "singularName": "", "namespaced": true,
            "kind": "MetricValueList", "verbs": ["get"],
        })
    };
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": metrics.into_iter().map(resource).collect::<Vec<_>>(),
    }))
}

/// One value for each pod that matches the selector and a configured load. Like the real API, it
/// answers 404 if there is none.
async fn values(
    State(shared): State<Shared>,
    // The autoscaler requests all pods (`*`) and filters by label.
    Path((namespace, _pods, metric)): Path<(String, String, String)>,
    Query(selection): Query<Selection>,
) -> (StatusCode, Json<Value>) {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &namespace);
    let selector = ListParams::default().labels(&selection.label_selector.unwrap_or_default());
    let pods = match pods.list(&selector).await {
        Ok(pods) => pods,
        Err(error) => return failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let items: Vec<Value> =
        pods.iter().filter_map(|pod| item(&shared.loads, &namespace, &metric, pod)).collect();
    if items.is_empty() {
        return failure(
            StatusCode::NOT_FOUND,
            &format!("the server could not find the metric {metric} for pods"),
        );
    }
    let list = json!({
        "kind": "MetricValueList", "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": items,
    });
    (StatusCode::OK, Json(list))
}

fn item(loads: &Loads, namespace: &str, metric: &str, pod: &Pod) -> Option<Value> {
    let name = pod.name_any();
    let value = loads
        .lock()
        .iter()
        .find(|load| {
            load.namespace == namespace && load.metric == metric && name.starts_with(&load.pod_prefix)
        })?
        .value;
    Some(json!({
        "describedObject": {"kind": "Pod", "apiVersion": "/v1", "namespace": namespace, "name": name},
        "metric": {"name": metric},
        "timestamp": Timestamp::now().to_string(),
        "value": value.to_string(),
    }))
}

fn failure(status: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
        "reason": if status == StatusCode::NOT_FOUND { "NotFound" } else { "InternalError" }, "message": message,
    });
    (status, Json(body))
}
