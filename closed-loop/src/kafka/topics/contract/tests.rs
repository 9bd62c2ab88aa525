use super::*;

const NOW: &str = "2026-11-24T12:00:00Z";

/// A KafkaTopic `default/<name>` of this second of the day, with `more` merged into it.
fn kafka_topic(name: &str, second: u32, more: Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {
            "name": name, "namespace": "default", "generation": 3,
            "creationTimestamp": format!("2026-11-24T10:00:{second:02}Z"),
        },
    });
    json_patch(&mut object, more);
    serde_json::from_value(object).expect("a KafkaTopic")
}

/// Merges like a merge patch, but keeps nulls.
fn json_patch(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                json_patch(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

fn annotations(annotations: &Value, going: bool) -> Value {
    let mut metadata = json!({"annotations": annotations});
    if going {
        metadata["deletionTimestamp"] = NOW.into();
    }
    json!({"metadata": metadata})
}

fn topic(partitions: i32, replicas: i32, config: &[(&str, &str)]) -> DesiredTopic {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DesiredTopic { name: "orders".into(), partitions, replicas, config }
}

#[test]
fn a_spec_has_the_brokers_defaults() {
    for (spec, wanted) in [
        (json!({}), topic(-1, -1, &[])),
        (json!({"partitions": 3, "replicas": 1}), topic(3, 1, &[])),
        (
            json!({"config": {"retention.ms": 60000, "cleanup.policy": ["compact", "delete"], "preallocate": true}}),
            topic(
                -1,
                -1,
                &[("retention.ms", "60000"), ("cleanup.policy", "compact,delete"), ("preallocate", "true")],
            ),
        ),
        (json!({"topicName": "Orders_1"}), DesiredTopic { name: "Orders_1".into(), ..topic(-1, -1, &[]) }),
    ] {
        let object = kafka_topic("orders", 0, json!({"spec": spec}));
        assert_eq!(topic_status(&object, [&object]), TopicStatus::Managed(wanted), "{spec}");
    }
}

#[test]
fn annotations_deletion_and_the_first_name_decide_about_a_kafka_topic() {
    let managed = TopicStatus::Managed(topic(-1, -1, &[]));
    let gone = TopicStatus::Deleting(Some("orders".into()));
    let (unmanaged, paused) = (json!({MANAGED: "false"}), json!({PAUSED: "true"}));
    let renamed = Rejection::unsupported("Changing spec.topicName is not supported");
    for (more, expected) in [
        (annotations(&json!({MANAGED: "true", PAUSED: "false"}), false), managed.clone()),
        (annotations(&unmanaged, false), TopicStatus::Unmanaged),
        (annotations(&unmanaged, true), TopicStatus::Deleting(None)),
        (annotations(&paused, false), TopicStatus::Paused),
        (annotations(&paused, true), gone.clone()),
        (annotations(&json!({}), true), gone),
        (json!({"status": {"topicName": "orders"}}), managed),
        (json!({"status": {"topicName": "other"}}), TopicStatus::Rejected(renamed)),
    ] {
        let object = kafka_topic("orders", 0, more.clone());
        assert_eq!(topic_status(&object, [&object]), expected, "{more}");
    }
    let unreadable = kafka_topic("orders", 0, json!({"spec": {"partitions": 3_000_000_000_u32}}));
    let TopicStatus::Rejected(refusal) = topic_status(&unreadable, [&unreadable]) else {
        panic!("it can be read")
    };
    assert_eq!(refusal.reason, "InternalError");
}

#[test]
fn the_older_of_two_manages_a_topic_and_the_younger_deletes_nothing() {
    let older = kafka_topic("orders", 1, json!({}));
    let younger = kafka_topic("again", 2, json!({"spec": {"topicName": "orders"}}));
    let going = kafka_topic(
        "again",
        2,
        json!({"spec": {"topicName": "orders"}, "metadata": {"deletionTimestamp": NOW}}),
    );
    let all = [&younger, &older];
    assert_eq!(topic_status(&older, all), TopicStatus::Managed(topic(-1, -1, &[])));
    let TopicStatus::Rejected(refusal) = topic_status(&younger, all) else { panic!("both manage it") };
    assert_eq!(
        (refusal.reason, refusal.message.as_str()),
        ("ResourceConflict", "Managed by KafkaTopic default/orders")
    );
    assert_eq!(topic_status(&going, [&going, &older]), TopicStatus::Deleting(None));
    let left_alone = kafka_topic("orders", 1, annotations(&json!({MANAGED: "false"}), false));
    assert_eq!(topic_status(&younger, [&younger, &left_alone]), TopicStatus::Managed(topic(-1, -1, &[])));
}

#[test]
fn only_differences_are_requested_and_partitions_never_decrease() {
    use Action::{Configure, Create, Grow};
    let seen =
        ActualTopic { partitions: 3, replicas: 1, config: topic(0, 0, &[("retention.ms", "1")]).config };
    let retention: &[(&str, &str)] = &[("retention.ms", "1")];
    for (wanted, actions, refused) in [
        (topic(3, 1, retention), vec![], None),
        (topic(-1, -1, retention), vec![], None),
        (topic(4, 1, retention), vec![Grow], None),
        (topic(2, 1, retention), vec![], Some("Decreasing partitions not supported")),
        (
            topic(3, 2, retention),
            vec![],
            Some("Replication factor change not supported, but required for partitions [0, 1, 2]"),
        ),
        (topic(3, 1, &[]), vec![Configure], None),
        (topic(2, 1, &[("retention.ms", "2")]), vec![Configure], Some("Decreasing partitions not supported")),
    ] {
        let refusal = refused.map(Rejection::unsupported);
        assert_eq!(plan(&wanted, Some(&seen)), (actions, refusal), "{wanted:?}");
    }
    assert_eq!(plan(&topic(2, 1, &[]), None), (vec![Create], None));
}

#[test]
fn a_status_is_written_once_and_a_transition_sets_its_time() {
    let now: Timestamp = NOW.parse().expect("a time");
    let ready = Outcome::Ready { topic_id: "id-1".into() };
    let fresh = kafka_topic("orders", 0, json!({}));
    let patch = status(&fresh, &ready, now).expect("a changed status");
    let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": NOW});
    let expected = json!({
        "conditions": [condition], "observedGeneration": 3, "topicName": "orders", "topicId": "id-1",
    });
    assert_eq!(patch["status"], expected);

    let object = kafka_topic("orders", 0, patch);
    let later: Timestamp = "2026-11-24T13:00:00Z".parse().expect("a time");
    assert_eq!(status(&object, &ready, later), None);
    let mut grown = object.clone();
    grown.metadata.generation = Some(4);
    let patch = status(&grown, &ready, later).expect("a changed generation");
    assert_eq!(
        (&patch["status"]["observedGeneration"], &patch["status"]["conditions"][0]),
        (&json!(4), &condition)
    );

    let refused = Outcome::Rejected(Rejection::kafka("no"));
    let patch = status(&object, &refused, later).expect("a changed status");
    let condition = &patch["status"]["conditions"][0];
    assert_eq!(condition["lastTransitionTime"], later.to_string());
    assert_eq!((&condition["reason"], &patch["status"]["topicId"]), (&json!("KafkaError"), &Value::Null));
}

#[test]
fn a_paused_topic_keeps_its_observed_generation_and_an_unmanaged_one_has_no_name() {
    let now: Timestamp = NOW.parse().expect("a time");
    let before = json!({"observedGeneration": 2, "topicName": "orders", "topicId": "id-1"});
    let object = kafka_topic("orders", 0, json!({"status": before}));
    let patch = status(&object, &Outcome::Paused, now).expect("a changed status");
    assert_eq!(patch["status"]["observedGeneration"], 2);
    assert_eq!(patch["status"]["conditions"][0]["type"], "ReconciliationPaused");
    let patch = status(&object, &Outcome::Unmanaged, now).expect("a changed status");
    assert_eq!(patch["status"]["conditions"][0]["type"], "Unmanaged");
    assert_eq!(patch["status"].get("topicName"), Some(&Value::Null));
    assert_eq!(
        status(&kafka_topic("new", 0, json!({})), &Outcome::Paused, now).expect("a pause")["status"]["observedGeneration"],
        0
    );
}

#[test]
fn finalizers_of_others_are_kept() {
    let object = kafka_topic("orders", 0, json!({"metadata": {"finalizers": ["other"]}}));
    assert_eq!(finalizers_with(&object), Some(vec!["other".to_owned(), FINALIZER.to_owned()]));
    assert_eq!(finalizers_without(&object), None);
    let held = kafka_topic("orders", 0, json!({"metadata": {"finalizers": ["other", FINALIZER]}}));
    assert_eq!((finalizers_with(&held), finalizers_without(&held)), (None, Some(vec!["other".to_owned()])));
}
