//! When an object counts as drifted.

use http::{Request, Response};
use kcg_runtime::watch::Event;
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::cluster::handlers::on_children;

/// A cluster of which every request fails, and which has one group without children.
fn cluster(key: &ObjectKey) -> Arc<Cluster> {
    let unavailable = service_fn(|_: Request<Body>| async {
        let response = Response::builder().status(503).body(Body::empty());
        Ok::<_, std::convert::Infallible>(response.expect("a response"))
    });
    let client = Client::new(unavailable, "default");
    let events = EventRecorder::new(client.clone(), "test");
    let defaults = Arc::new(kcg_webhook::group_defaults::file(None));
    let max_bytes = kcg_api::spec_bounds::MAX_BYTES;
    let cluster = Arc::new(Cluster::new(client, TopicGrants::Own, max_bytes, defaults, events));
    let group = json!({
        "metadata": {"name": key.name(), "namespace": key.namespace(), "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"minReplicas": 1, "averageRecordsLagLimit": 1, "consumerSpec": {"image": "i", "topic": "t"}},
    });
    cluster.observe_group(key, StoredGroup::of(&group), false);
    cluster
}

#[tokio::test]
async fn an_object_of_a_group_without_a_deployment_has_drifted_once_the_deployments_are_listed() {
    let key = ObjectKey::new("ns", "g");
    let cluster = cluster(&key);
    let listener = |_: Affected| {};
    let mut services = on_children(&cluster, ChildKind::Service, &listener);
    let mut deployments = on_children(&cluster, ChildKind::Deployment, &listener);
    let drift_after = |services: &mut dyn FnMut(Event<Value>), version: &str| {
        let owner = json!({"apiVersion": "v1", "kind": "K", "name": "g", "uid": "u", "controller": true});
        let live = json!({"metadata": {"name": "g", "namespace": "ns", "uid": "s", "resourceVersion": version, "ownerReferences": [owner]}});
        services(Event::Applied(key.clone(), live));
        let observed = cluster.observe(&key).expect("the group").observed;
        observed.child(ChildKind::Service).expect("the Service").drift
    };
    assert_eq!(drift_after(&mut services, "2"), Drift::Unknown, "its defaults are not known yet");
    services(Event::Synced);
    assert_eq!(drift_after(&mut services, "3"), Drift::Unknown, "nor with the Services");
    deployments(Event::Synced);
    assert_eq!(drift_after(&mut services, "4"), Drift::Drifted);
}
