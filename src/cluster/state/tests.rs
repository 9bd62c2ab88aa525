//! What each change touches, and what is remembered.

use super::*;
use crate::cluster::kept_status::Texts;
use kcg_api::topic::{Partitions, TopicLookup};
use kcg_core::observed::{AutoscalerFacts, Child, Detail, Standing};
use serde_json::{Value, json};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn group(name: &str, version: u64, consumer: &Value) -> Group {
    let object = json!({
        "metadata": {"uid": format!("uid-of-{name}"), "resourceVersion": version.to_string(), "generation": 1},
        "spec": {"consumerSpec": consumer},
    });
    Group::of(&key(name), &object, &Texts::default())
}

fn facts(partitions: i32) -> TopicFacts {
    TopicFacts { topic_name: "t".into(), partitions: Partitions::Known(partitions), topic_id: None }
}

fn autoscaler(version: u64, held: Option<&str>, ahead: bool) -> SeenChild {
    let facts = AutoscalerFacts { held: held.and_then(Held::parse), ..AutoscalerFacts::default() };
    let child = Child {
        uid: "hpa".into(),
        resource_version: version,
        controller: Some("uid-of-a".into()),
        deleting: false,
        standing: Standing::Matches(u128::from(version)),
        detail: Detail::Autoscaler(facts),
    };
    SeenChild::new(child, version, ahead)
}

const HPA: ChildKind = ChildKind::HorizontalPodAutoscaler;

#[test]
fn a_topic_touches_exactly_its_consumers() {
    let mut state = State::default();
    state.topics_are(None, TopicsAvailability::Available);
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.group_is(&key("b"), group("b", 2, &json!({"topics": ["u", "t"]})), false);
    state.group_is(&key("c"), group("c", 3, &json!({"topic": "u"})), false);
    assert_eq!(state.topic_is(key("t"), facts(3)), [key("a"), key("b")]);
    assert_eq!(state.topic_is(key("t"), facts(3)), [], "nothing new");
    state.group_is(&key("a"), group("a", 4, &json!({"topic": "u"})), false);
    assert_eq!(state.topic_is_gone(&key("t")), [key("b")]);
    state.group_is_gone(&key("b"));
    assert_eq!(state.topic_is(key("u"), facts(1)), [key("c"), key("a")]);
    for name in ["a", "c"] {
        state.group_is_gone(&key(name));
    }
    assert!(state.by_topic.is_empty() && state.by_consumer_group.is_empty() && state.entries.is_empty());
}

/// What group `a` sees of its topics, in their order.
fn lookups(state: &State) -> Vec<TopicLookup> {
    state.snapshot(&key("a")).unwrap().observed.topics.into_values().collect()
}

#[test]
fn a_namespace_that_cannot_be_read_hides_its_own_topics_and_touches_their_consumers_alone() {
    let mut state = State::default();
    let in_other = |topic: &str| json!({"topic": topic, "topicNamespace": "other"});
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.group_is(&key("b"), group("b", 1, &in_other("t")), false);
    state.topic_is(key("t"), facts(3));
    state.topic_is(ObjectKey::new("other", "t"), facts(5));
    assert_eq!(state.topics_are(Some("ns"), TopicsAvailability::Available), [key("a")]);
    assert_eq!(state.topics_are(Some("other"), TopicsAvailability::Available), [key("b")]);
    assert_eq!(lookups(&state), [TopicLookup::Found(facts(3))]);

    assert_eq!(state.topics_are(Some("other"), TopicsAvailability::Unreadable("no".into())), [key("b")]);
    let of_b = state.snapshot(&key("b")).unwrap().observed.topics;
    assert_eq!(of_b.into_values().collect::<Vec<_>>(), [TopicLookup::Unknown("no".into())]);
    assert_eq!(lookups(&state), [TopicLookup::Found(facts(3))]);
    assert_eq!(state.topic_is(key("t"), facts(6)), [key("a")]);
    assert_eq!(lookups(&state), [TopicLookup::Found(facts(6))]);

    assert_eq!(state.topics_are(Some("other"), TopicsAvailability::Available), [key("b")]);
    let of_b = state.snapshot(&key("b")).unwrap().observed.topics;
    assert_eq!(of_b.into_values().collect::<Vec<_>>(), [TopicLookup::Found(facts(5))]);
}

#[test]
fn topics_are_forgotten_with_their_kind_and_not_while_they_cannot_be_read() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    assert_eq!(lookups(&state), [TopicLookup::Unknown("the topics are not listed yet".into())]);
    state.topic_is(key("t"), facts(3));
    for hidden in [TopicsAvailability::Unreadable("no".into()), TopicsAvailability::Stale("silent".into())] {
        state.topics_are(None, hidden);
        assert!(matches!(lookups(&state)[..], [TopicLookup::Unknown(_)]));
        state.topics_are(None, TopicsAvailability::Available);
        assert_eq!(lookups(&state), [TopicLookup::Found(facts(3))]);
    }
    state.topics_are(None, TopicsAvailability::NotServed);
    assert_eq!(lookups(&state), [TopicLookup::NotServed]);
    state.topics_are(None, TopicsAvailability::Available);
    assert_eq!(lookups(&state), [TopicLookup::NotFound]);
}

#[test]
fn each_try_of_a_watch_that_is_cut_off_is_no_news() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    let cut_off = |said: &str| TopicsAvailability::Stale(said.into());
    assert_eq!(state.topics_are(None, cut_off("connection refused")), [key("a")]);
    assert_eq!(state.topics_are(None, cut_off("no answer within 10 s")), []);
    let first = "connection refused";
    assert_eq!(lookups(&state), [TopicLookup::Unknown(first.into())]);
    assert_eq!(state.topics_are(None, TopicsAvailability::Available), [key("a")]);
}

#[test]
fn rivals_share_the_consumer_group_and_a_topic_and_are_touched_when_that_ends() {
    let mut state = State::default();
    let consumer = |group: &str, topic: &str| json!({"groupId": group, "topic": topic});
    state.group_is(&key("a"), group("a", 1, &consumer("x", "t")), false);
    assert_eq!(state.group_is(&key("b"), group("b", 1, &consumer("x", "t")), false), [key("a"), key("b")]);
    state.group_is(&key("c"), group("c", 1, &consumer("x", "u")), false);
    assert_eq!(state.snapshot(&key("a")).unwrap().observed.rivals, ["b"]);
    assert_eq!(state.snapshot(&key("c")).unwrap().observed.rivals, [""; 0]);
    let touched = state.group_is(&key("b"), group("b", 2, &consumer("y", "t")), false);
    assert!(touched.contains(&key("a")), "{touched:?}");
    assert_eq!(state.snapshot(&key("a")).unwrap().observed.rivals, [""; 0]);
}

#[test]
fn a_watch_behind_our_own_write_is_not_believed_and_a_restored_cluster_is() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.child_is(&key("a"), HPA, autoscaler(9, None, true));
    assert_eq!(state.child_is(&key("a"), HPA, autoscaler(5, None, false)), []);
    assert_eq!(state.child(&key("a"), HPA).unwrap().resource_version, 9);
    state.child_is(&key("a"), HPA, autoscaler(9, None, false));
    assert_eq!(state.child_is(&key("a"), HPA, autoscaler(5, None, false)), [key("a")]);
}

#[test]
fn a_group_that_says_the_same_touches_nobody() {
    let mut state = State::default();
    let consumer = json!({"topic": "t"});
    assert_eq!(state.group_is(&key("a"), group("a", 1, &consumer), false), [key("a")]);
    assert_eq!(state.group_is(&key("a"), group("a", 2, &consumer), false), []);
    let status = Group::of(
        &key("a"),
        &json!({"metadata": {"uid": "uid-of-a", "resourceVersion": "9", "generation": 1},
        "spec": {"consumerSpec": consumer}, "status": {"replicas": 1}}),
        &Texts::default(),
    );
    state.group_is(&key("a"), status, true);
    assert_eq!(state.group_is(&key("a"), group("a", 5, &consumer), false), [], "older than our own status");
    assert_eq!(state.snapshot(&key("a")).unwrap().group.status().replicas, 1);
}

#[test]
fn the_answer_to_a_status_write_may_be_the_first_to_tell_of_a_change() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.group_is(&key("b"), group("b", 1, &json!({"topic": "t", "groupId": "a"})), false);
    assert_eq!(state.group_is(&key("a"), group("a", 3, &json!({"topic": "t"})), true), []);
    let changed = group("a", 5, &json!({"topic": "t", "groupId": "other"}));
    assert_eq!(state.group_is(&key("a"), changed.clone(), true), [key("b"), key("a")]);
    assert_eq!(state.group_is(&key("a"), changed, false), [], "the watch tells it later");
}

#[test]
fn what_the_autoscaler_held_is_remembered_until_it_is_back_or_the_group_is_another() {
    let held = r#"{"ns/t":{"partitions":3,"topicName":"t"}}"#;
    let mut state = State::default();
    let remembered = |state: &State| state.snapshot(&key("a")).unwrap().observed.remembered.is_some();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.child_is(&key("a"), HPA, autoscaler(2, Some(held), false));
    assert!(!remembered(&state));
    state.child_is_gone(&key("a"), HPA);
    assert!(remembered(&state));
    state.child_is(&key("a"), HPA, autoscaler(3, Some(held), false));
    assert!(!remembered(&state));
    state.child_is_gone(&key("a"), HPA);
    let mut other = group("a", 4, &json!({"topic": "t"}));
    other.uid = "another".into();
    state.group_is(&key("a"), other, false);
    assert!(!remembered(&state));
}

#[test]
fn a_kind_that_goes_takes_its_facts_and_touches_everyone() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.child_is(&key("a"), HPA, autoscaler(2, None, false));
    assert_eq!(state.kind_is(HPA, true), [], "it was served before");
    assert_eq!(state.kind_is(HPA, false), [key("a")]);
    assert!(state.child(&key("a"), HPA).is_none() && !state.serves(HPA));
    assert_eq!(state.kind_is(HPA, true), [key("a")]);
}

#[test]
fn pods_are_listed_while_they_run() {
    let mut state = State::default();
    let pods = |state: &State| state.snapshot(&key("a")).unwrap().observed.active_pods;
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    assert_eq!(state.pod_is(&key("p2"), Some(key("a"))), [key("a")]);
    assert_eq!(state.pod_is(&key("p1"), Some(key("a"))), [key("a")]);
    assert_eq!(state.pod_is(&key("p1"), Some(key("a"))), []);
    assert_eq!(pods(&state), ["p1", "p2"]);
    assert_eq!(state.pod_is(&key("p1"), None), [key("a")]);
    assert_eq!(pods(&state), ["p2"]);
    state.group_is_gone(&key("a"));
    state.pod_is(&key("p2"), None);
    assert!(state.entries.is_empty() && state.active.is_empty());
}

#[test]
fn an_answer_that_comes_late_raises_no_dead_child_and_no_dead_group() {
    let mut state = State::default();
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.child_is(&key("a"), HPA, autoscaler(2, None, false));
    state.child_is_gone(&key("a"), HPA);
    assert_eq!(state.child_is(&key("a"), HPA, autoscaler(2, None, true)), [key("a")]);
    assert!(state.child(&key("a"), HPA).is_none());

    // It had only lost the label by which it is watched: whoever finds it alive says so.
    let uid = autoscaler(2, None, true).uid().to_owned();
    state.child_lives(&key("a"), &uid);
    state.child_is(&key("a"), HPA, autoscaler(2, None, true));
    assert!(state.child(&key("a"), HPA).is_some());

    state.group_is_gone(&key("a"));
    assert_eq!(state.group_is(&key("a"), group("a", 3, &json!({"topic": "t"})), true), []);
    assert!(state.group(&key("a")).is_none());
}

#[test]
fn what_somebody_else_writes_into_our_annotation_is_not_believed() {
    let mut state = State::default();
    let held = r#"{"ns/t":{"partitions":3,"topicName":"t"}}"#;
    state.group_is(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    state.child_is(&key("a"), HPA, autoscaler(2, Some(held), false));
    let mut spoilt = autoscaler(3, Some("oops"), false).child();
    let Detail::Autoscaler(facts) = &mut spoilt.detail else { panic!("an autoscaler") };
    facts.held_is_foreign = true;
    state.child_is(&key("a"), HPA, SeenChild::new(spoilt, 3, false));
    let Detail::Autoscaler(facts) = state.child(&key("a"), HPA).unwrap().detail else {
        panic!("an autoscaler")
    };
    assert_eq!(facts.held, Held::parse(held));
}
