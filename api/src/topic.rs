//! KafkaTopics, reduced to the facts that matter here, and the result of looking one up.
//!
//! The contract is Strimzi's: spec.partitions is optional and only grows; the name in Kafka is
//! spec.topicName or metadata.name; status.topicId changes only if the topic is deleted and created
//! again.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde_json::Value;

use crate::group::KconsumerGroupSpec;

/// The API group of Strimzi's KafkaTopics. Discovery finds the served version.
pub const GROUP: &str = "kafka.strimzi.io";
/// The kind of Strimzi's KafkaTopics.
pub const KIND: &str = "KafkaTopic";
/// The plural name of Strimzi's KafkaTopics.
pub const PLURAL: &str = "kafkatopics";
/// The supported versions, newest first.
pub const VERSIONS: [&str; 2] = ["v1", "v1beta2"];

/// A KafkaTopic by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicRef {
    /// The namespace of the KafkaTopic.
    pub namespace: String,
    /// The name of the KafkaTopic resource.
    pub name: String,
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The KafkaTopics that a spec names, each once, `topic` first. `namespace` is the group's.
pub fn named_by(spec: &KconsumerGroupSpec, namespace: &str) -> Vec<TopicRef> {
    let consumer = &spec.consumer_spec;
    let namespace = consumer.topic_namespace.as_deref().unwrap_or(namespace);
    let mut seen = HashSet::new();
    let names = consumer.topic.iter().chain(&consumer.topics).filter(|name| seen.insert(name.as_str()));
    names.map(|name| TopicRef { namespace: namespace.to_owned(), name: name.clone() }).collect()
}

/// The partition count in a KafkaTopic's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// A count of at least 1 that Strimzi did not reject.
    Known(i32),
    /// spec.partitions is not set: the broker's default applies, which is not known here.
    Unset,
    /// Not a count (zero, negative, a fraction, above 2^31-1, not a number): the value as JSON.
    Invalid(String),
    /// A count that Strimzi rejected for the current generation, for example a decrease.
    Refused {
        /// The rejected count.
        wanted: i32,
        /// Strimzi's reason and message.
        reason: String,
    },
}

impl Partitions {
    /// The count if it is known.
    pub const fn known(&self) -> Option<i32> {
        match self {
            Self::Known(count) => Some(*count),
            Self::Unset | Self::Invalid(_) | Self::Refused { .. } => None,
        }
    }
}

/// The facts about a KafkaTopic that the operator keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// The name in Kafka.
    pub topic_name: String,
    /// The partition count in the KafkaTopic's spec.
    pub partitions: Partitions,
    /// The topic's id in Kafka; `None` until Strimzi has reported it.
    pub topic_id: Option<String>,
}

impl TopicFacts {
    /// Reads a KafkaTopic of any supported version. Never fails: an unusable count becomes a
    /// variant of [`Partitions`]. Ignores a status that was written for another generation of the
    /// spec.
    pub fn decode(topic: &Value) -> Self {
        let text =
            |pointer: &str| topic.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = text("/metadata/name").unwrap_or_default();
        let stated = partitions(topic.pointer("/spec/partitions"));
        Self {
            topic_name: text("/spec/topicName").unwrap_or(name).to_owned(),
            partitions: match (stated, refusal(topic)) {
                (Partitions::Known(wanted), Some(reason)) => Partitions::Refused { wanted, reason },
                (stated, _) => stated,
            },
            topic_id: text("/status/topicId").map(str::to_owned),
        }
    }
}

/// The original operator accepted a string as well.
fn partitions(stated: Option<&Value>) -> Partitions {
    let count = match stated {
        None | Some(Value::Null) => return Partitions::Unset,
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_i64(),
    };
    match count.and_then(|count| i32::try_from(count).ok()) {
        Some(count) if count >= 1 => Partitions::Known(count),
        _ => Partitions::Invalid(stated.map(ToString::to_string).unwrap_or_default()),
    }
}

/// Reason and message of Strimzi's Ready=False for the current generation. A temporary failure to
/// reach Kafka counts as well: Strimzi may not have applied the count yet.
fn refusal(topic: &Value) -> Option<String> {
    let generation = topic.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = topic.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed.is_none() || observed != generation {
        return None;
    }
    let conditions = topic.pointer("/status/conditions").and_then(Value::as_array)?;
    let field = |condition: &Value, name: &str| {
        condition.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    conditions
        .iter()
        .find(|condition| field(condition, "type") == "Ready" && field(condition, "status") == "False")
        .map(|condition| match (field(condition, "reason"), field(condition, "message")) {
            (reason, message) if message.is_empty() => reason,
            (reason, message) if reason.is_empty() => message,
            (reason, message) => format!("{reason}: {message}"),
        })
}

/// The result of looking up one topic in a watch's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicLookup {
    /// The KafkaTopic exists.
    Found(TopicFacts),
    /// The watch is in sync and there is no such KafkaTopic.
    NotFound,
    /// The cluster serves no KafkaTopics: Strimzi is not installed.
    NotServed,
    /// Not known, for the given reason: the watch is not in sync, is interrupted, or may not read
    /// the namespace.
    Unknown(String),
}

impl TopicLookup {
    /// The facts if the topic was found.
    pub const fn facts(&self) -> Option<&TopicFacts> {
        match self {
            Self::Found(facts) => Some(facts),
            Self::NotFound | Self::NotServed | Self::Unknown(_) => None,
        }
    }
}

/// The lookups of one group's topics.
pub type TopicLookups = BTreeMap<TopicRef, TopicLookup>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decoded(spec: &Value, status: &Value) -> TopicFacts {
        TopicFacts::decode(
            &json!({"metadata": {"name": "fast-data-topic", "generation": 2}, "spec": spec, "status": status}),
        )
    }

    #[test]
    fn only_whole_numbers_of_at_least_one_are_counts() {
        for (stated, want) in [
            (json!(3), Partitions::Known(3)),
            (json!("5"), Partitions::Known(5)),
            (json!(null), Partitions::Unset),
            (json!(0), Partitions::Invalid("0".into())),
            (json!(-1), Partitions::Invalid("-1".into())),
            (json!(2.5), Partitions::Invalid("2.5".into())),
            (json!(2_147_483_648_i64), Partitions::Invalid("2147483648".into())),
            (json!("three"), Partitions::Invalid("\"three\"".into())),
            (json!({}), Partitions::Invalid("{}".into())),
        ] {
            assert_eq!(decoded(&json!({"partitions": stated}), &json!({})).partitions, want);
        }
        assert_eq!(decoded(&json!({}), &json!({})).partitions, Partitions::Unset);
    }

    #[test]
    fn a_refused_decrease_does_not_count_and_an_older_refusal_is_ignored() {
        let refused = |generation: i64| {
            json!({"observedGeneration": generation, "conditions": [
            {"type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported"}]})
        };
        assert_eq!(
            decoded(&json!({"partitions": 1}), &refused(2)).partitions,
            Partitions::Refused {
                wanted: 1,
                reason: "NotSupported: Decreasing partitions not supported".into()
            }
        );
        assert_eq!(decoded(&json!({"partitions": 1}), &refused(1)).partitions, Partitions::Known(1));
    }

    #[test]
    fn the_name_in_kafka_is_the_spec_s_if_set() {
        assert_eq!(decoded(&json!({"topicName": "Fast_Data"}), &json!({})).topic_name, "Fast_Data");
        assert_eq!(decoded(&json!({}), &json!({})).topic_name, "fast-data-topic");
    }

    #[test]
    fn a_topic_that_is_named_twice_counts_once() {
        let spec: KconsumerGroupSpec = serde_json::from_value(
            json!({"consumerSpec": {"topic": "b", "topics": ["a", "b", "c"], "topicNamespace": "kafka"}}),
        )
        .unwrap();
        let names: Vec<String> = named_by(&spec, "default").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["kafka/b", "kafka/a", "kafka/c"]);
    }
}
