//! What is searched: seven readers of what others wrote.

use kcg_api::topic::{TopicFacts, TopicLookup};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, spec_bounds};
use kcg_core::ceiling::Held;
use kcg_core::children::ChildKind;
use kcg_core::desired::desired_state;
use kcg_core::facts::Observed;
use kcg_tests::repository;
use kcg_webhook::admit::{Admission, AdmissionPolicy, AdmissionRequest, Stage, Verdict, admit};
use kcg_webhook::review::respond;
use serde_json::{Value, json};

use super::{Bound, search};

#[derive(Debug)]
struct Rules;

impl Admission for Rules {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        admit(request, &AdmissionPolicy::default(), &GroupDefaults::default(), |_| TopicLookup::NotFound)
    }
}

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(repository("deploy/samples").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn groups() -> Vec<Value> {
    let mut groups = vec![sample("full.yaml"), sample("short.yaml"), sample("bad-no-image.yaml")];
    for group in &mut groups {
        group["metadata"]["namespace"] = json!("default");
        group["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
    }
    groups
}

/// The input as JSON. Both processes refuse a spec of more bytes before they parse it.
fn parse_small(input: &[u8]) -> Option<Value> {
    (input.len() <= spec_bounds::MAX_BYTES).then(|| serde_json::from_slice(input).ok())?
}

/// Whether the product types the spec: both processes count its values first.
fn is_within_bounds(group: &Value) -> bool {
    !spec_bounds::forbid_typing(&spec_bounds::check_value(&group["spec"], spec_bounds::MAX_BYTES))
}

fn bytes(values: &[Value]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_string().into_bytes()).collect()
}

#[test]
fn a_review_needs_memory_in_proportion_to_its_bytes() {
    let review = |group: &Value| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "UPDATE", "namespace": "default",
            "name": group["metadata"]["name"], "object": group, "oldObject": group,
            "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
            "resource": {"group": "thenextapps.com", "version": "v1alpha1", "resource": "kconsumergroups"}}})
    };
    let seeds: Vec<Value> = groups().iter().map(review).collect();
    search("review", &bytes(&seeds), &Bound { per_byte: 64, constant: 20 << 20 }, |input| {
        let _ = respond(Stage::Mutate, input, &Rules);
        let _ = respond(Stage::Validate, input, &Rules);
    });
}

#[test]
fn a_stored_group_needs_memory_in_proportion_to_its_bytes() {
    search("children", &bytes(&groups()), &Bound { per_byte: 128, constant: 20 << 20 }, |input| {
        let Some(group) = parse_small(input) else { return };
        if !is_within_bounds(&group) {
            return;
        }
        let stored = parse_group(group);
        let (observed, defaults) = (Observed::default(), GroupDefaults::default());
        let Ok(state) = desired_state(&stored, &observed, &TopicGrants::Own, &defaults) else { return };
        for kind in ChildKind::ALL {
            drop(state.child(kind));
        }
    });
}

#[test]
fn a_pod_template_needs_memory_in_proportion_to_its_bytes() {
    let templates: Vec<Value> =
        groups().iter().map(|group| group["spec"]["consumerSpec"]["podTemplate"].clone()).collect();
    search("overlay", &bytes(&templates), &Bound { per_byte: 128, constant: 20 << 20 }, |input| {
        let Some(template) = parse_small(input) else { return };
        let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": "a", "namespace": "b", "uid": "c"},
            "spec": {"consumerSpec": {"image": "i", "topic": "t", "podTemplate": template}}});
        if !is_within_bounds(&group) {
            return;
        }
        let (observed, defaults) = (Observed::default(), GroupDefaults::default());
        let state = desired_state(&parse_group(group), &observed, &TopicGrants::Own, &defaults);
        drop(state.map(|state| state.child(ChildKind::Deployment)));
    });
}

#[test]
fn a_kafka_topic_needs_memory_in_proportion_to_its_bytes() {
    let mut topic = sample("kafkatopic.yaml");
    topic["status"] = json!({"observedGeneration": 1, "topicName": "orders", "topicId": "WQ5vFIQ8Qd-UyVC_2C2zQw",
        "conditions": [{"type": "Ready", "status": "True", "reason": "r", "message": "m"}]});
    search("topic", &bytes(&[topic]), &Bound { per_byte: 64, constant: 1 << 20 }, |input| {
        // As the watch reads it: the rest of the object is skipped.
        let Ok(facts) = serde_json::from_slice::<TopicFacts>(input) else { return };
        assert!(facts.topic_id.is_none_or(|id| id.len() < 64), "an id has a bound");
    });
}

#[test]
fn held_counts_need_memory_in_proportion_to_their_bytes() {
    let held =
        json!({"kafka/orders": {"partitions": 12, "topicName": "orders"}, "kafka/a": {"unconfirmed": 3}});
    search("held", &bytes(&[held]), &Bound { per_byte: 64, constant: 1 << 20 }, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Some(held) = Held::parse(text) {
            assert_eq!(Held::parse(&held.annotation()), Some(held), "what is written is read again");
        }
    });
}

#[test]
fn a_bundle_of_certificates_needs_memory_in_proportion_to_its_bytes() {
    let seed = b"-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n".to_vec();
    search("pem", &[seed], &Bound { per_byte: 64, constant: 1 << 20 }, |input| {
        drop(kcg_certs::bundle::parse(input));
    });
}

#[test]
fn a_file_of_defaults_needs_memory_in_proportion_to_its_bytes() {
    let seed = b"consumerSpec:\n  podTemplate:\n    spec:\n      nodeSelector: {a: b}\nmetrics: &m\n  labels: {x: y}\n".to_vec();
    search("defaults", &[seed], &Bound { per_byte: 512, constant: 20 << 20 }, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        drop(GroupDefaults::parse(text));
    });
}
