//! Which groups each change affects, and what is remembered.

use super::*;
use crate::cluster::cached_child::ChildSource;
use crate::cluster::cached_group::SharedStrings;
use crate::cluster::stored_group::StoredGroup;
use kcg_api::topic::TopicLookup;
use kcg_core::drift::Drift;
use kcg_core::facts::{AutoscalerFacts, Child, Detail};
use serde_json::{Value, json};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn group(name: &str, version: u64, consumer: &Value) -> CachedGroup {
    group_of(&key(name), version, consumer)
}

fn group_of(key: &ObjectKey, version: u64, consumer: &Value) -> CachedGroup {
    let object = json!({
        "metadata": {"uid": format!("uid-of-{}", key.name()), "resourceVersion": version.to_string(), "generation": 1},
        "spec": {"consumerSpec": consumer},
    });
    CachedGroup::of(key, StoredGroup::of(&object), &SharedStrings::default())
}

fn facts(partitions: i32) -> TopicFacts {
    TopicFacts::stated("t", partitions)
}

fn autoscaler(version: u64, held: Option<&str>, from_response: bool) -> CachedChild {
    let facts = AutoscalerFacts { held: held.and_then(Held::parse), ..AutoscalerFacts::default() };
    let child = Child {
        uid: "hpa".into(),
        resource_version: version,
        controller: Some("uid-of-a".into()),
        deleting: false,
        drift: Drift::InSync(u128::from(version)),
        creation: None,
        detail: Detail::Autoscaler(Box::new(facts)),
    };
    CachedChild::new(child, version, if from_response { ChildSource::Response } else { ChildSource::Watch })
}

const HPA: ChildKind = ChildKind::HorizontalPodAutoscaler;

#[test]
fn a_topic_affects_exactly_its_consumers() {
    let mut cache = ClusterCache::default();
    cache.set_topics_availability(None, TopicsAvailability::Available);
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_group(&key("b"), group("b", 2, &json!({"topics": ["u", "t"]})), false);
    cache.set_group(&key("c"), group("c", 3, &json!({"topic": "u"})), false);
    assert_eq!(cache.set_topic(key("t"), facts(3)), [key("a"), key("b")]);
    assert_eq!(cache.set_topic(key("t"), facts(3)), [], "nothing new");
    cache.set_group(&key("a"), group("a", 4, &json!({"topic": "u"})), false);
    assert_eq!(cache.remove_topic(&key("t")), [key("b")]);
    cache.remove_group(&key("b"));
    assert_eq!(cache.set_topic(key("u"), facts(1)), [key("c"), key("a")]);
    for name in ["a", "c"] {
        cache.remove_group(&key(name));
    }
    assert!(cache.by_topic.is_empty() && cache.conflicts.is_empty() && cache.entries.is_empty());
}

#[test]
fn a_topic_of_a_thousand_groups_and_a_group_of_many_topics_affect_no_other() {
    let mut cache = ClusterCache::default();
    cache.set_topics_availability(None, TopicsAvailability::Available);
    let mut consumers = Vec::new();
    for number in 0..1000 {
        for topic in ["t", "u"] {
            let key = key(&format!("{topic}-{number}"));
            let spec = json!({"topic": topic, "groupId": key.name()});
            cache.set_group(&key, group_of(&key, 1, &spec), false);
            consumers.push(key);
        }
    }
    let all: Vec<String> = (0..100).map(|number| format!("many-{number}")).collect();
    cache.set_group(&key("many"), group("many", 1, &json!({"topics": all})), false);
    consumers.retain(|key| key.name().starts_with("t-"));
    consumers.sort();
    for partitions in [3, 4] {
        let mut affected = cache.set_topic(key("t"), facts(partitions));
        affected.sort();
        assert_eq!(affected, consumers, "each consumer once and no other group");
    }
    assert_eq!(cache.set_topic(key("many-99"), facts(1)), [key("many")]);
    assert_eq!(cache.set_topic(key("absent"), facts(1)), []);
}

/// The topics of group `a`, in order.
fn lookups(cache: &ClusterCache) -> Vec<TopicLookup> {
    cache.snapshot(&key("a")).unwrap().observed.topics.into_values().collect()
}

#[test]
fn an_unreadable_namespace_hides_its_own_topics_and_affects_their_consumers_only() {
    let mut cache = ClusterCache::default();
    let in_other = |topic: &str| json!({"topic": topic, "topicNamespace": "other"});
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_group(&key("b"), group("b", 1, &in_other("t")), false);
    cache.set_topic(key("t"), facts(3));
    cache.set_topic(ObjectKey::new("other", "t"), facts(5));
    assert_eq!(cache.set_topics_availability(Some("ns"), TopicsAvailability::Available), [key("a")]);
    assert_eq!(cache.set_topics_availability(Some("other"), TopicsAvailability::Available), [key("b")]);
    assert_eq!(lookups(&cache), [TopicLookup::Found(facts(3))]);

    assert_eq!(
        cache.set_topics_availability(Some("other"), TopicsAvailability::Unreadable("no".into())),
        [key("b")]
    );
    let of_b = cache.snapshot(&key("b")).unwrap().observed.topics;
    assert_eq!(of_b.into_values().collect::<Vec<_>>(), [TopicLookup::Unknown("no".into())]);
    assert_eq!(lookups(&cache), [TopicLookup::Found(facts(3))]);
    assert_eq!(cache.set_topic(key("t"), facts(6)), [key("a")]);
    assert_eq!(lookups(&cache), [TopicLookup::Found(facts(6))]);

    assert_eq!(cache.set_topics_availability(Some("other"), TopicsAvailability::Available), [key("b")]);
    let of_b = cache.snapshot(&key("b")).unwrap().observed.topics;
    assert_eq!(of_b.into_values().collect::<Vec<_>>(), [TopicLookup::Found(facts(5))]);
}

#[test]
fn topics_are_removed_with_their_kind_and_kept_while_they_are_unreadable() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    assert_eq!(lookups(&cache), [TopicLookup::Unknown("the topics are not listed yet".into())]);
    cache.set_topic(key("t"), facts(3));
    for hidden in [TopicsAvailability::Unreadable("no".into()), TopicsAvailability::Stale("silent".into())] {
        cache.set_topics_availability(None, hidden);
        assert!(matches!(lookups(&cache)[..], [TopicLookup::Unknown(_)]));
        cache.set_topics_availability(None, TopicsAvailability::Available);
        assert_eq!(lookups(&cache), [TopicLookup::Found(facts(3))]);
    }
    cache.set_topics_availability(None, TopicsAvailability::NotServed);
    assert_eq!(lookups(&cache), [TopicLookup::NotServed]);
    cache.set_topics_availability(None, TopicsAvailability::Available);
    assert_eq!(lookups(&cache), [TopicLookup::NotFound]);
}

#[test]
fn a_retry_of_an_interrupted_watch_affects_no_group() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    let cut_off = |error: &str| TopicsAvailability::Stale(error.into());
    assert_eq!(cache.set_topics_availability(None, cut_off("connection refused")), [key("a")]);
    assert_eq!(cache.set_topics_availability(None, cut_off("no answer within 10 s")), []);
    let first = "connection refused";
    assert_eq!(lookups(&cache), [TopicLookup::Unknown(first.into())]);
    assert_eq!(cache.set_topics_availability(None, TopicsAvailability::Available), [key("a")]);
}

/// Of a group of namespace `ns`, or of the key `namespace/name`, in words.
fn conflicts(cache: &ClusterCache, name: &str) -> String {
    let key = name.split_once('/').map_or_else(|| key(name), |(ns, name)| ObjectKey::new(ns, name));
    cache.snapshot(&key).unwrap().observed.conflicting_groups.to_string()
}

#[test]
fn conflicting_groups_share_the_consumer_group_and_a_topic_and_are_affected_when_that_ends() {
    let mut cache = ClusterCache::default();
    let consumer = |group: &str, topic: &str| json!({"groupId": group, "topic": topic});
    cache.set_group(&key("a"), group("a", 1, &consumer("x", "t")), false);
    assert_eq!(cache.set_group(&key("b"), group("b", 1, &consumer("x", "t")), false), [key("a"), key("b")]);
    assert_eq!(cache.set_group(&key("c"), group("c", 1, &consumer("x", "u")), false), [key("c")]);
    assert_eq!((conflicts(&cache, "a"), conflicts(&cache, "c")), ("group b".into(), String::new()));
    let affected = cache.set_group(&key("b"), group("b", 2, &consumer("y", "t")), false);
    assert!(affected.contains(&key("a")), "{affected:?}");
    assert_eq!(conflicts(&cache, "a"), "");
}

#[test]
fn a_group_id_in_env_is_compared_and_one_that_only_the_pod_knows_is_not() {
    let mut cache = ClusterCache::default();
    let with = |variable: Value| json!({"topic": "t", "env": [variable]});
    let own = with(json!({"name": "KAFKA_GROUP_ID", "value": "x"}));
    let secret = json!({"name": "KAFKA_GROUP_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let of_spring = with(json!({"name": "SPRING_KAFKA_CONSUMER_GROUP_ID", "value": "x"}));
    for (name, consumer) in [("a", &own), ("b", &of_spring)] {
        cache.set_group(&key(name), group(name, 1, consumer), false);
    }
    for name in ["c", "d"] {
        cache.set_group(&key(name), group(name, 1, &with(secret.clone())), false);
    }
    assert_eq!((conflicts(&cache, "a"), conflicts(&cache, "b")), ("group b".into(), "group a".into()));
    assert_eq!((conflicts(&cache, "c"), conflicts(&cache, "d")), (String::new(), String::new()));
}

#[test]
fn two_kafkatopics_of_one_topic_are_found_by_their_cluster_and_name_in_kafka() {
    let mut cache = ClusterCache::default();
    cache.set_topics_availability(None, TopicsAvailability::Available);
    let named = |name: &str, cluster: Option<&str>| TopicFacts {
        cluster: cluster.map(Into::into),
        ..TopicFacts::stated(name, 3)
    };
    let consumer = |topic: &str| json!({"topic": topic, "groupId": "x"});
    cache.set_group(&key("a"), group("a", 1, &consumer("first")), false);
    cache.set_group(&key("b"), group("b", 1, &consumer("second")), false);
    cache.set_topic(key("first"), named("orders", Some("k")));
    // Another cluster, another name, and another namespace.
    cache.set_topic(key("second"), named("orders", Some("other")));
    cache.set_topic(ObjectKey::new("prod", "second"), named("orders", Some("k")));
    let there = ObjectKey::new("prod", "b");
    cache.set_group(&there, group_of(&there, 1, &consumer("second")), false);
    assert_eq!(conflicts(&cache, "a"), "");
    cache.set_topic(key("second"), named("payments", Some("k")));
    assert_eq!(conflicts(&cache, "a"), "");

    let affected = cache.set_topic(key("second"), named("orders", Some("k")));
    assert!(affected.contains(&key("a")) && affected.contains(&key("b")), "{affected:?}");
    assert_eq!((conflicts(&cache, "a"), conflicts(&cache, "b")), ("group b".into(), "group a".into()));
    assert_eq!(conflicts(&cache, "prod/b"), "");
    assert!(cache.remove_topic(&key("first")).contains(&key("b")));
    assert_eq!(conflicts(&cache, "b"), "");
    cache.set_topic(key("first"), named("orders", Some("k")));

    // A group that is created, changed or deleted affects the other one.
    assert!(cache.remove_group(&key("b")).contains(&key("a")));
    assert_eq!(conflicts(&cache, "a"), "");
    assert!(cache.set_group(&key("b"), group("b", 1, &consumer("second")), false).contains(&key("a")));
    let other = json!({"topic": "second", "groupId": "y"});
    assert!(cache.set_group(&key("b"), group("b", 2, &other), false).contains(&key("a")));
    assert_eq!(conflicts(&cache, "a"), "");
    // A group of another namespace that may consume these KafkaTopics.
    let granted = json!({"topic": "second", "topicNamespace": "ns", "groupId": "x"});
    let other = ObjectKey::new("prod", "c");
    assert!(cache.set_group(&other, group_of(&other, 1, &granted), false).contains(&key("a")));
    assert_eq!(conflicts(&cache, "a"), "a group in another namespace");
    for group in [key("a"), key("b"), there, other] {
        cache.remove_group(&group);
    }
    assert!(cache.conflicts.is_empty() && cache.same_group_id.is_empty());
}

#[test]
fn many_conflicting_groups_are_described_alike_and_affected_only_if_that_changes() {
    let mut cache = ClusterCache::default();
    let consumer = json!({"groupId": "x", "topic": "t"});
    let mut add = |name: &str| cache.set_group(&key(name), group(name, 1, &consumer), false);
    for name in ["b", "c", "d", "e", "f", "g"] {
        add(name);
    }
    assert_eq!(add("h"), [key("h")], "everybody names others first");
    assert_eq!(add("a").len(), 8, "everybody names it");
    assert_eq!(conflicts(&cache, "a"), "groups b, c, d and others");
    assert_eq!(conflicts(&cache, "h"), "groups a, b, c and others");
    assert_eq!(cache.remove_group(&key("h")), [key("h")]);
    for (removed, affected) in [("g", 1), ("f", 1), ("e", 5), ("d", 4)] {
        assert_eq!(cache.remove_group(&key(removed)).len(), affected, "{removed}");
    }
    assert_eq!(conflicts(&cache, "a"), "groups b, c");
}

#[test]
fn a_group_of_another_namespace_is_found_by_the_kafkatopic_and_not_named() {
    let mut cache = ClusterCache::default();
    let consumer = json!({"topic": "t", "topicNamespace": "kafka", "groupId": "x"});
    let elsewhere = |name: &str| ObjectKey::new("prod", name);
    cache.set_group(&key("a"), group("a", 1, &consumer), false);
    assert_eq!(
        cache.set_group(&elsewhere("a"), group_of(&elsewhere("a"), 1, &consumer), false),
        [key("a"), elsewhere("a")]
    );
    assert_eq!(cache.set_group(&elsewhere("b"), group_of(&elsewhere("b"), 1, &consumer), false).len(), 2);
    let words = "a group in another namespace";
    assert_eq!(
        (conflicts(&cache, "a"), conflicts(&cache, "prod/a")),
        (words.into(), format!("group b and {words}"))
    );
    cache.remove_group(&elsewhere("b"));
    assert_eq!(cache.remove_group(&elsewhere("a")), [key("a"), elsewhere("a")]);
    assert_eq!(conflicts(&cache, "a"), "");
    // The KafkaTopics of two namespaces are two topics.
    let own = json!({"topic": "t", "groupId": "x"});
    cache.set_group(&key("b"), group("b", 1, &own), false);
    cache.set_group(&elsewhere("b"), group_of(&elsewhere("b"), 1, &own), false);
    assert_eq!(conflicts(&cache, "b"), "");
}

#[test]
fn without_a_kafkatopic_the_same_kafka_and_topic_are_found_in_two_namespaces() {
    let mut cache = ClusterCache::default();
    cache.set_topics_availability(None, TopicsAvailability::Available);
    let elsewhere = ObjectKey::new("prod", "a");
    let mut set = |servers: &str| {
        let consumer = json!({"topic": "t", "groupId": "x", "bootstrapServers": servers});
        cache.set_group(&key("a"), group("a", 1, &consumer), false);
        cache.set_group(&elsewhere, group_of(&elsewhere, 1, &consumer), false);
        let words = conflicts(&cache, "a");
        cache.remove_group(&key("a"));
        cache.remove_group(&elsewhere);
        words
    };
    assert_eq!(set("broker.example.com:9092"), "a group in another namespace");
    assert_eq!(set("kafka.infra:9092,10.0.0.1:9092"), "a group in another namespace");
    assert_eq!(set("kafka:9092"), "", "a Service of each namespace");
    assert_eq!(set("kafka:9092, Broker.example.com:9092"), "a group in another namespace");
    assert!(cache.conflicts.is_empty());

    let consumer = |servers: &str| json!({"topic": "t", "groupId": "x", "bootstrapServers": servers});
    cache.set_group(&key("a"), group("a", 1, &consumer("a.example.com:9092, b.example.com:9092")), false);
    for (servers, want) in [
        ("b.example.com:9092,a.example.com:9092", "a group in another namespace"),
        ("c.example.com:9092,B.example.com:9092", "a group in another namespace"),
        ("b.example.com:9093,c.example.com:9092", ""),
    ] {
        cache.set_group(&elsewhere, group_of(&elsewhere, 1, &consumer(servers)), false);
        assert_eq!(conflicts(&cache, "a"), want, "{servers}");
        cache.remove_group(&elsewhere);
    }
    cache.remove_group(&key("a"));
    assert!(cache.conflicts.is_empty());

    let consumer = consumer("broker.example.com:9092");
    cache.set_group(&key("a"), group("a", 1, &consumer), false);
    cache.set_group(&elsewhere, group_of(&elsewhere, 1, &consumer), false);
    let affected = cache.set_topic(key("t"), facts(3));
    assert!(affected.contains(&key("a")) && affected.contains(&elsewhere), "{affected:?}");
    assert_eq!((conflicts(&cache, "a"), conflicts(&cache, "prod/a")), (String::new(), String::new()));
    assert!(cache.remove_topic(&key("t")).contains(&elsewhere));
    assert_eq!(conflicts(&cache, "prod/a"), "a group in another namespace");
}

#[test]
fn a_watch_behind_our_own_write_is_ignored_and_a_restored_cluster_is_not() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_child(&key("a"), HPA, autoscaler(9, None, true));
    assert_eq!(cache.set_child(&key("a"), HPA, autoscaler(5, None, false)), []);
    assert_eq!(cache.child(&key("a"), HPA).unwrap().resource_version, 9);
    cache.set_child(&key("a"), HPA, autoscaler(9, None, false));
    assert_eq!(cache.set_child(&key("a"), HPA, autoscaler(5, None, false)), [key("a")]);
}

#[test]
fn a_watch_that_was_faster_than_the_response_is_not_waited_for() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 9, &json!({"topic": "t"})), false);
    cache.set_group(&key("a"), group("a", 9, &json!({"topic": "t"})), true);
    cache.set_child(&key("a"), HPA, autoscaler(9, None, false));
    cache.set_child(&key("a"), HPA, autoscaler(9, None, true));
    // The cluster is restored from a backup.
    cache.set_child(&key("a"), HPA, autoscaler(5, None, false));
    assert_eq!(cache.child(&key("a"), HPA).unwrap().resource_version, 5);
    assert_eq!(cache.set_group(&key("a"), group("a", 5, &json!({"topic": "u"})), false), [key("a")]);
}

#[test]
fn an_equivalent_group_affects_no_group() {
    let mut cache = ClusterCache::default();
    let consumer = json!({"topic": "t"});
    assert_eq!(cache.set_group(&key("a"), group("a", 1, &consumer), false), [key("a")]);
    assert_eq!(cache.set_group(&key("a"), group("a", 2, &consumer), false), []);
    let status = CachedGroup::of(
        &key("a"),
        StoredGroup::of(&json!({"metadata": {"uid": "uid-of-a", "resourceVersion": "9", "generation": 1},
        "spec": {"consumerSpec": consumer}, "status": {"replicas": 1}})),
        &SharedStrings::default(),
    );
    cache.set_group(&key("a"), status, true);
    assert_eq!(cache.set_group(&key("a"), group("a", 5, &consumer), false), [], "older than our own status");
    assert_eq!(cache.snapshot(&key("a")).unwrap().group.status().replicas, 1);
}

#[test]
fn the_response_to_a_status_write_may_be_the_first_to_report_a_change() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_group(&key("b"), group("b", 1, &json!({"topic": "t", "groupId": "a"})), false);
    assert_eq!(cache.set_group(&key("a"), group("a", 3, &json!({"topic": "t"})), true), []);
    let changed = group("a", 5, &json!({"topic": "t", "groupId": "other"}));
    assert_eq!(cache.set_group(&key("a"), changed.clone(), true), [key("b"), key("a")]);
    assert_eq!(cache.set_group(&key("a"), changed, false), [], "the watch reports it later");
}

#[test]
fn held_partitions_are_remembered_until_the_autoscaler_is_back_or_the_group_is_replaced() {
    let held = r#"{"ns/t":{"partitions":3,"topicName":"t"}}"#;
    let mut cache = ClusterCache::default();
    let remembered = |cache: &ClusterCache| cache.snapshot(&key("a")).unwrap().observed.remembered.is_some();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_child(&key("a"), HPA, autoscaler(2, Some(held), false));
    assert!(!remembered(&cache));
    cache.remove_child(&key("a"), HPA);
    assert!(remembered(&cache));
    cache.set_child(&key("a"), HPA, autoscaler(3, Some(held), false));
    assert!(!remembered(&cache));
    cache.remove_child(&key("a"), HPA);
    let mut other = group("a", 4, &json!({"topic": "t"}));
    other.uid = "another".into();
    cache.set_group(&key("a"), other, false);
    assert!(!remembered(&cache));
}

#[test]
fn a_kind_that_is_no_longer_served_is_removed_and_affects_every_group() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_child(&key("a"), HPA, autoscaler(2, None, false));
    assert_eq!(cache.set_served(HPA, true), [], "it was served before");
    assert_eq!(cache.set_served(HPA, false), [key("a")]);
    assert!(cache.child(&key("a"), HPA).is_none() && !cache.serves(HPA));
    assert_eq!(cache.set_served(HPA, true), [key("a")]);
}

#[test]
fn pods_are_listed_while_they_run() {
    let mut cache = ClusterCache::default();
    let pods = |cache: &ClusterCache| cache.snapshot(&key("a")).unwrap().observed.active_pods;
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    assert_eq!(cache.set_pod(&key("p2"), Some(key("a"))), [key("a")]);
    assert_eq!(cache.set_pod(&key("p1"), Some(key("a"))), [key("a")]);
    assert_eq!(cache.set_pod(&key("p1"), Some(key("a"))), []);
    assert_eq!(pods(&cache), ["p1", "p2"]);
    assert_eq!(cache.set_pod(&key("p1"), None), [key("a")]);
    assert_eq!(pods(&cache), ["p2"]);
    cache.remove_group(&key("a"));
    cache.set_pod(&key("p2"), None);
    assert!(cache.entries.is_empty() && cache.active_pods.is_empty());
}

#[test]
fn a_late_response_resurrects_neither_a_deleted_child_nor_a_deleted_group() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_child(&key("a"), HPA, autoscaler(2, None, false));
    cache.remove_child(&key("a"), HPA);
    assert_eq!(cache.set_child(&key("a"), HPA, autoscaler(2, None, true)), [key("a")]);
    assert!(cache.child(&key("a"), HPA).is_none());

    // It had only lost the label that the watch selects, and was then read from the API server.
    let uid = autoscaler(2, None, true).uid().to_owned();
    cache.remove_tombstone(&key("a"), &uid);
    cache.set_child(&key("a"), HPA, autoscaler(2, None, true));
    assert!(cache.child(&key("a"), HPA).is_some());

    cache.remove_group(&key("a"));
    assert_eq!(cache.set_group(&key("a"), group("a", 3, &json!({"topic": "t"})), true), []);
    assert!(cache.group(&key("a")).is_none());
}

#[test]
fn a_foreign_change_of_the_held_partitions_is_ignored() {
    let mut cache = ClusterCache::default();
    let held = r#"{"ns/t":{"partitions":3,"topicName":"t"}}"#;
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    cache.set_child(&key("a"), HPA, autoscaler(2, Some(held), false));
    let mut spoilt = autoscaler(3, Some("oops"), false).child();
    let Detail::Autoscaler(facts) = &mut spoilt.detail else { panic!("an autoscaler") };
    facts.held_is_foreign = true;
    cache.set_child(&key("a"), HPA, CachedChild::new(spoilt, 3, ChildSource::Watch));
    let Detail::Autoscaler(facts) = cache.child(&key("a"), HPA).unwrap().detail else {
        panic!("an autoscaler")
    };
    assert_eq!(facts.held, Held::parse(held));
}

#[test]
fn a_child_that_has_become_too_large_to_read_is_looked_up_once() {
    let mut cache = ClusterCache::default();
    cache.set_group(&key("a"), group("a", 1, &json!({"topic": "t"})), false);
    assert_eq!(cache.set_unreadable(&key("a"), HPA), [], "no child is known that could be looked up");
    cache.set_child(&key("a"), HPA, autoscaler(5, None, false));
    assert_eq!(cache.set_unreadable(&key("a"), HPA), [key("a")]);
    assert_eq!(cache.child(&key("a"), HPA).unwrap().drift, Drift::Unknown);
    assert_eq!(cache.set_unreadable(&key("a"), HPA), []);
}
