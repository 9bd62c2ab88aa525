//! Where the search begins: the samples of deploy/, a group with many fields, and what is legal and heavy.

use kcg_tests::legal_pod::legal_pod;
use kcg_tests::repository;
use serde_json::{Value, json};

pub fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(repository("deploy/samples").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Groups as they are stored.
pub fn groups() -> Vec<Value> {
    let mut groups = vec![sample("full.yaml"), sample("short.yaml"), sample("bad-no-image.yaml")];
    groups.extend([with_all_of_a_pod(), with_relabelings(), with_many_variables(), with_many_volumes()]);
    for group in &mut groups {
        group["metadata"]["namespace"] = json!("default");
        group["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
    }
    groups
}

fn group(spec: &Value) -> Value {
    json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "orders"},
        "spec": spec})
}

fn with_template(template: &Value) -> Value {
    group(&json!({"consumerSpec": {"image": "i", "topic": "t", "podTemplate": template}}))
}

fn with_all_of_a_pod() -> Value {
    with_template(&json!({"metadata": {"labels": {"a": "b"}}, "spec": legal_pod("orders")}))
}

fn with_many_variables() -> Value {
    let env: Vec<Value> = (0..1000).map(|at| json!({"name": format!("V{at}"), "value": "x"})).collect();
    group(&json!({"consumerSpec": {"image": "i", "topic": "t", "env": env}}))
}

fn with_many_volumes() -> Value {
    let volume =
        |at| json!({"name": format!("v{at}"), "projected": {"sources": [{"configMap": {"name": "c"}}]}});
    let volumes: Vec<Value> = (0..100).map(volume).collect();
    with_template(&json!({"spec": {"volumes": volumes}}))
}

fn with_relabelings() -> Value {
    let relabelings = json!([
        {"sourceLabels": ["a"], "regex": "((a|[^b]{3})+)(.*)", "targetLabel": "x_$1_$0", "replacement": "$2"},
        {"action": "labelmap", "regex": "label_(.+)", "replacement": "l_$1"},
        {"action": "labeldrop", "regex": "jvm_[0-9]{1,5}"},
        {"action": "hashmod", "sourceLabels": ["a", "b"], "modulus": 3, "targetLabel": "shard"},
    ]);
    group(&json!({"consumerSpec": {"image": "i", "topic": "t"}, "metrics": {
        "lagMetric": "my_lag", "labels": {"a": "b"},
        "endpoint": {"scheme": "https", "relabelings": relabelings, "metricRelabelings": relabelings,
            "tlsConfig": {"serverName": "a", "ca": {"secret": {"name": "s", "key": "k"}}},
            "authorization": {"credentials": {"name": "s", "key": "k"}}},
        "additionalEndpoints": [{"port": 1, "path": "/a", "interval": "30s", "relabelings": relabelings}]}}))
}

/// An AdmissionReview of an update of this group.
pub fn review(group: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "UPDATE", "namespace": "default",
        "name": group["metadata"]["name"], "object": group, "oldObject": group,
        "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
        "resource": {"group": "thenextapps.com", "version": "v1alpha1", "resource": "kconsumergroups"}}})
}

pub fn json(values: &[Value]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_string().into_bytes()).collect()
}
