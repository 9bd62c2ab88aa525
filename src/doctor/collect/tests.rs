//! What is read, and how often, from an API server that is played here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::doctor::findings::Installer;
use crate::doctor::{Check, CheckState, analyze};

/// The paths of the requests, and how often each was sent.
type Requests = Arc<Mutex<BTreeMap<String, usize>>>;

/// An API server with the operator's Deployments in the namespace `ns`, and nothing else. The
/// container of the controller has these fields.
fn cluster(container: Value) -> (Client, Requests) {
    let requests = Requests::default();
    let seen = requests.clone();
    let server = service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        *seen.lock().unwrap().entry(path.clone()).or_default() += 1;
        let body = match path.rsplit('/').next() {
            Some(process @ (names::CONTROLLER | names::WEBHOOK)) => {
                let mut container = if process == names::CONTROLLER { container.clone() } else { json!({}) };
                container["name"] = json!("a");
                let labels = json!({"app.kubernetes.io/managed-by": "Helm"});
                Some(json!({"metadata": {"name": process, "labels": labels}, "spec": {
                    "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"process": process}},
                    "template": {"spec": {"containers": [container]}}}}))
            }
            Some(kind @ ("pods" | "namespaces")) => {
                let items = if kind == "pods" { json!([{"metadata": {"name": "pod"}}]) } else { json!([]) };
                Some(json!({"metadata": {}, "items": items}))
            }
            _ => None,
        };
        let status = if body.is_some() { 200 } else { 404 };
        let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
        let body = Body::from(body.unwrap_or(missing).to_string().into_bytes());
        let response = Response::builder().status(status).body(body).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    (Client::new(server, "default"), requests)
}

async fn controller_check(container: Value) -> Check {
    let findings = collect(&cluster(container).0, "ns").await;
    analyze(&findings).into_iter().find(|check| check.check == "controller").unwrap()
}

#[tokio::test]
async fn each_object_is_read_once() {
    let (client, requests) = cluster(json!({}));
    let findings = collect(&client, "ns").await;
    let requests = requests.lock().unwrap();
    let count = |path: &str| requests.get(path).copied().unwrap_or_default();
    for process in [names::CONTROLLER, names::WEBHOOK] {
        assert_eq!(count(&format!("/apis/apps/v1/namespaces/ns/deployments/{process}")), 1, "{requests:?}");
    }
    assert_eq!(count("/api/v1/namespaces/ns/pods"), 2, "once for each process: {requests:?}");
    assert_eq!(count("/api/v1/namespaces"), 1, "{requests:?}");
    assert_eq!(findings.installer, Installer::RenderedChart { tool: None });
    assert_eq!(findings.controller_pods.unwrap().unwrap().pods.len(), 1);
}

#[tokio::test]
async fn a_controller_without_leader_election_is_not_missed() {
    for container in [
        json!({"args": ["controller", "--leader-elect=false"]}),
        json!({"env": [{"name": "KCG_LEADER_ELECT", "value": "false"}]}),
    ] {
        let check = controller_check(container).await;
        assert_eq!((check.state, check.cure.as_str()), (CheckState::Ok, ""), "{check:?}");
    }
    let check = controller_check(json!({"args": ["controller", "--leader-elect"]})).await;
    assert_eq!(check.found, "there was never a leader in this namespace");
}

#[tokio::test]
async fn variables_of_the_deployment_are_read_as_its_flags_are() {
    let env = json!([
        {"name": "KCG_NAMESPACES", "value": "shop"}, {"name": "KCG_LEADER_ELECT_RESOURCE_NAME", "value": "elected"},
        {"name": "KCG_CERTIFICATE_MODE", "value": "self-managed"},
    ]);
    let (client, requests) = cluster(json!({"env": env}));
    let findings = collect(&client, "ns").await;
    assert_eq!(findings.written_configuration.as_deref(), Some("ns"));
    let requests = requests.lock().unwrap();
    for path in [
        "/apis/coordination.k8s.io/v1/namespaces/ns/leases/elected",
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers",
    ] {
        assert!(requests.contains_key(path), "{path}: {requests:?}");
    }
}
