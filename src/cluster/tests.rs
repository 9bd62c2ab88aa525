//! When an object counts as drifted, and what a status may replace.

use http::{Request, Response};
use kcg_api::{GroupDefaults, ValidGroup};
use kcg_core::children::DELETED;
use kcg_core::plan::Write;
use kcg_runtime::lease::{Leadership, SystemClock};
use kcg_runtime::watch::Event;
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::cluster::handlers::on_children;

/// A cluster that answers every request with this status code, keeps its body, and has one group without
/// children.
fn cluster_that_answers(code: u16, key: &ObjectKey) -> (Arc<Cluster>, Arc<Mutex<Vec<Value>>>) {
    let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = bodies.clone();
    let server = service_fn(move |request: Request<Body>| {
        let log = log.clone();
        async move {
            let body = request.into_body().collect_bytes().await.expect("a body");
            log.lock().push(serde_json::from_slice(&body).unwrap_or_default());
            let status = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": code});
            Response::builder().status(code).body(Body::from(status.to_string().into_bytes()))
        }
    });
    let client = Client::new(server, "default");
    let events = EventRecorder::new(client.clone(), "test");
    let defaults = Arc::new(kcg_webhook::group_defaults::file(None));
    let max_bytes = kcg_api::spec_bounds::MAX_BYTES;
    let cluster = Arc::new(Cluster::new(client, TopicGrants::Own, max_bytes, defaults, events));
    let group = json!({
        "metadata": {"name": key.name(), "namespace": key.namespace(), "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"minReplicas": 1, "averageRecordsLagLimit": 1, "consumerSpec": {"image": "i", "topic": "t"}},
    });
    cluster.observe_group(key, StoredGroup::of(&group), false);
    (cluster, bodies)
}

#[tokio::test]
async fn a_status_replaces_no_newer_version_of_its_group() {
    let key = ObjectKey::new("ns", "g");
    let (cluster, bodies) = cluster_that_answers(409, &key);
    let group = cluster.observe(&key).expect("the group").group;
    let leadership = Leadership::without_lease(Arc::new(SystemClock::default()));
    let written = cluster.write_status(&key, &group, &group.status(), &leadership).await;
    assert!(matches!(written, Err(WriteError::Waiting)), "{written:?}");
    let metadata = bodies.lock()[0]["metadata"].clone();
    assert_eq!(metadata, json!({"name": "g", "namespace": "ns", "uid": "u", "resourceVersion": "1"}));
}

#[tokio::test]
async fn an_object_of_a_group_without_a_deployment_has_drifted_once_the_deployments_are_listed() {
    let key = ObjectKey::new("ns", "g");
    let (cluster, _) = cluster_that_answers(503, &key);
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

#[tokio::test]
async fn a_child_that_was_created_and_deleted_before_a_list_is_not_taken_to_exist() {
    let key = ObjectKey::new("ns", "g");
    let (cluster, _) = cluster_that_answers(503, &key);
    let notified: Arc<Mutex<Affected>> = Arc::default();
    let log = notified.clone();
    let listener = move |mut affected: Affected| log.lock().append(&mut affected);
    let mut services = on_children(&cluster, ChildKind::Service, &listener);
    let owner = json!({"apiVersion": "v1", "kind": "K", "name": "g", "uid": "u", "controller": true});
    let created = json!({"metadata": {"name": "g", "namespace": "ns", "uid": "s", "resourceVersion": "2", "ownerReferences": [owner]}});
    let exists = || cluster.observe(&key).expect("the group").observed.child(ChildKind::Service).is_some();
    let own_write = |live: &Value, lists: u64| {
        cluster.observe_own_write(&key, ChildKind::Service, live, DELETED, lists);
    };
    services(Event::Listed(None));
    own_write(&created, 1);
    services(Event::Applied(key.clone(), created.clone()));
    own_write(&created, 1);
    services(Event::Listed(None));
    assert!(exists(), "the watch has reported it");
    services(Event::Deleted(key.clone()));
    let again = json!({"metadata": {"name": "g", "namespace": "ns", "uid": "t", "resourceVersion": "4", "ownerReferences": created["metadata"]["ownerReferences"]}});
    own_write(&again, 2);
    services(Event::Listed(Some("another".to_owned())));
    assert!(exists(), "only another namespace was listed");
    notified.lock().clear();
    services(Event::Listed(Some("ns".to_owned())));
    assert!(!exists() && *notified.lock() == [key.clone()]);
    own_write(&again, 3);
    assert!(!exists(), "the request began before the list");
    own_write(&again, 4);
    assert!(exists());
}

#[tokio::test]
async fn a_child_is_deleted_only_as_it_was_when_that_was_decided() {
    let key = ObjectKey::new("ns", "g");
    let (cluster, bodies) = cluster_that_answers(409, &key);
    let group = cluster.observe(&key).expect("the group").group.parse(&key, usize::MAX).group;
    let group =
        ValidGroup::read(&group, &TopicGrants::Own, &GroupDefaults::default()).expect("a valid group");
    let leadership = Leadership::without_lease(Arc::new(SystemClock::default()));
    let delete = Write::Delete { kind: ChildKind::PrometheusRule, uid: "r".into(), version: 7 };
    let deleted = cluster.write(&group, 1, &delete, &leadership).await;
    assert!(deleted.is_err(), "{deleted:?}");
    assert_eq!(bodies.lock()[0]["preconditions"], json!({"uid": "r", "resourceVersion": "7"}));
}
