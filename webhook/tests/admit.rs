//! The decision itself, where a fixture would be too large or one of many.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::borrow::Cow;

use kcg_api::topic::{Partitions, Sight, TopicFacts};
use kcg_api::valid::TopicGrants;
use kcg_webhook::admit::{Operation, Request, Stage, Verdict, Written, admit};
use proptest::prelude::*;
use serde_json::{Value, json};

fn group(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "thenextapps.com/v1alpha1",
        "kind": "KconsumerGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}

/// The verdict on `new`, in place of `old`; every topic has three partitions.
fn judged(stage: Stage, old: Option<&Value>, new: &Value) -> Verdict {
    let (old, new) = (old.map(Value::to_string), new.to_string());
    let request = Request {
        stage,
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        group: "thenextapps.com".into(),
        version: "v1alpha1".into(),
        kind: "KconsumerGroup".into(),
        sub_resource: Cow::default(),
        name: Cow::default(),
        namespace: "default".into(),
        object: Some(Written::read(&new)),
        old: old.as_deref(),
    };
    let three = TopicFacts { topic_name: "t".into(), partitions: Partitions::Known(3), topic_id: None };
    admit(&request, &TopicGrants::Own, |_| Sight::Seen(three.clone()))
}

fn refusals(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Allowed { .. } => Vec::new(),
        Verdict::Refused { violations, .. } => violations.iter().map(ToString::to_string).collect(),
        Verdict::Unreadable(why) => vec![why.clone()],
    }
}

/// A spec of at least `length` bytes.
fn long(length: usize, marker: &str) -> Value {
    let env: Vec<Value> =
        (0..length / 1000).map(|n| json!({"name": format!("V{n}"), "value": "x".repeat(1000)})).collect();
    json!({"minReplicas": 1, "consumerSpec": {"image": "a", "topic": "t", "groupId": marker, "env": env}})
}

#[test]
fn a_spec_too_long_to_be_looked_at_is_refused_and_one_that_slipped_in_may_still_be_labelled() {
    let short = group("kconsumer", &long(200_000, "a"));
    let slipped_in = group("kconsumer", &long(300_000, "a"));
    assert!(refusals(&judged(Stage::Validate, None, &short)).is_empty());
    let refused = refusals(&judged(Stage::Validate, None, &slipped_in));
    assert_eq!(refused, ["spec: Too long: must have at most 262144 bytes"]);
    assert_eq!(refusals(&judged(Stage::Validate, Some(&short), &slipped_in)), refused);

    let mut labelled = slipped_in.clone();
    labelled["metadata"]["labels"] = json!({"team": "a"});
    assert!(refusals(&judged(Stage::Mutate, Some(&slipped_in), &labelled)).is_empty());
    let longer = group("kconsumer", &long(310_000, "a"));
    assert_eq!(refusals(&judged(Stage::Validate, Some(&slipped_in), &longer)).len(), 1);
}

/// Specs, right and wrong, with each field there or not.
fn specs() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just("kconsumer"), Just("a.b"), Just(""), Just("A B"), Just("t")];
    let field = || proptest::option::of(text.clone());
    (proptest::option::of(-1..6_i64), proptest::option::of(0..6_i64), field(), field(), field(), field())
        .prop_map(|(min, max, image, topic, container, group_id)| {
            let mut spec = json!({"consumerSpec": {}});
            let mut put = |pointer: &str, name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.pointer_mut(pointer).unwrap()[name] = value;
                }
            };
            put("", "minReplicas", min.map(Value::from));
            put("", "maxReplicas", max.map(Value::from));
            put("/consumerSpec", "image", image.map(Value::from));
            put("/consumerSpec", "topic", topic.map(Value::from));
            put("/consumerSpec", "containerName", container.map(Value::from));
            put("/consumerSpec", "groupId", group_id.map(Value::from));
            spec
        })
}

fn names() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("kconsumer"), Just("1k"), Just("a.b"), Just("k-")]
}

/// The object as it is stored when `verdict` on it is an allowance.
fn stored(object: &Value, verdict: &Verdict) -> Option<Value> {
    let Verdict::Allowed { patch, .. } = verdict else { return None };
    let mut stored = object.clone();
    json_patch::patch(&mut stored, patch).unwrap();
    Some(stored)
}

proptest! {
    #[test]
    fn what_mutate_lets_through_validate_lets_through(name in names(), spec in specs()) {
        let object = group(name, &spec);
        let mutated = judged(Stage::Mutate, None, &object);
        prop_assert_eq!(refusals(&mutated), refusals(&judged(Stage::Validate, None, &object)));
        if let Some(stored) = stored(&object, &mutated) {
            prop_assert_eq!(refusals(&judged(Stage::Validate, None, &stored)), Vec::<String>::new());
        }
    }

    #[test]
    fn labels_can_be_edited_whatever_is_stored(name in names(), spec in specs()) {
        let old = group(name, &spec);
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"team": "a"});
        let mutated = judged(Stage::Mutate, Some(&old), &new);
        prop_assert_eq!(refusals(&mutated), Vec::<String>::new());
        let stored = stored(&new, &mutated).unwrap();
        prop_assert_eq!(refusals(&judged(Stage::Validate, Some(&old), &stored)), Vec::<String>::new());
    }

    #[test]
    fn an_update_to_something_right_is_allowed_whatever_was_stored(name in names(), old in specs()) {
        let right = json!({"minReplicas": 1, "consumerSpec": {"image": "a", "topic": "t"}});
        let verdict = judged(Stage::Validate, Some(&group(name, &old)), &group("kconsumer", &right));
        prop_assert_eq!(refusals(&verdict), Vec::<String>::new());
    }
}
