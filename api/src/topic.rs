//! What a KafkaTopic says that matters here, and the group's topics as somebody sees them now.
//! Floor 0. The contract is Strimzi's: spec.partitions is optional and grows only; the name in Kafka is
//! spec.topicName or metadata.name; status.topicId changes only when the topic is a new one.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The API group and kind of Strimzi's topics; which version is served is found by discovery.
pub const GROUP: &str = "kafka.strimzi.io";
pub const KIND: &str = "KafkaTopic";
pub const PLURAL: &str = "kafkatopics";
/// The versions that are understood, the newest first.
pub const VERSIONS: [&str; 2] = ["v1", "v1beta2"];

/// A KafkaTopic by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicRef {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The partition count that a KafkaTopic states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// A count that Strimzi did not refuse, at least 1.
    Known(i32),
    /// spec.partitions is left out: the broker's own default applies, which nobody states here.
    Unset,
    /// No count: zero, negative, a fraction, beyond 2^31-1, not a number. Holds what was written.
    Invalid(String),
    /// A count that Strimzi refused for this very generation (a decrease, say), with its reason.
    Refused { wanted: i32, reason: String },
}

impl Partitions {
    pub const fn known(&self) -> Option<i32> {
        match self {
            Self::Known(count) => Some(*count),
            Self::Unset | Self::Invalid(_) | Self::Refused { .. } => None,
        }
    }
}

/// The part of a KafkaTopic that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// The name in Kafka.
    pub topic_name: String,
    pub partitions: Partitions,
    /// Kafka's id of the topic; absent until Strimzi has reported it.
    pub topic_id: Option<String>,
}

impl TopicFacts {
    /// Reads a KafkaTopic of any served version. Never fails: what cannot be read is said in
    /// [`Partitions`]. Status of another generation than the spec's is not believed.
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

/// The original accepted a count as text too.
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

/// Strimzi's Ready=False for the generation that is stored now. A passing failure to reach Kafka says
/// nothing about the count, but the count may not be in force either: it is held all the same.
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

/// What somebody who watches the topics sees of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicLookup {
    Found(TopicFacts),
    /// The watch is complete and there is no such KafkaTopic.
    NotFound,
    /// The cluster serves no KafkaTopics at all: Strimzi is not installed.
    NotServed,
    /// The watch is not filled yet, was cut off, or may not read there. Holds why.
    Unknown(String),
}

impl TopicLookup {
    pub const fn facts(&self) -> Option<&TopicFacts> {
        match self {
            Self::Found(facts) => Some(facts),
            Self::NotFound | Self::NotServed | Self::Unknown(_) => None,
        }
    }
}

/// The topics of one group, in the order of its spec.
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
    fn counts_are_whole_and_at_least_one() {
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
    fn a_refused_decrease_does_not_count_but_an_older_refusal_does_not_matter() {
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
    fn the_name_in_kafka_is_the_spec_s_where_it_states_one() {
        assert_eq!(decoded(&json!({"topicName": "Fast_Data"}), &json!({})).topic_name, "Fast_Data");
        assert_eq!(decoded(&json!({}), &json!({})).topic_name, "fast-data-topic");
    }
}
