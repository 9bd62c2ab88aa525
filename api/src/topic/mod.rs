//! KafkaTopics, reduced to the facts that matter here, and the result of looking one up.
//!
//! The contract is Strimzi's: spec.partitions is optional and only grows; the name in Kafka is
//! status.topicName, and before Strimzi reports it spec.topicName or metadata.name; status.topicId
//! changes only if the topic is deleted and created again.

mod confirmation;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed as _, Deserializer};
use serde_json::Value;

use crate::group::KconsumerGroupSpec;
use crate::names;
use crate::projection::Keep;

pub use confirmation::Confirmation;

/// The API group of Strimzi's KafkaTopics. Discovery finds the served version.
pub const GROUP: &str = "kafka.strimzi.io";
/// The kind of Strimzi's KafkaTopics.
pub const KIND: &str = "KafkaTopic";
/// The plural name of Strimzi's KafkaTopics.
pub const PLURAL: &str = "kafkatopics";
/// The supported versions, newest first.
pub const VERSIONS: [&str; 2] = ["v1", "v1beta2"];

/// The label by which Strimzi finds the Kafka cluster of a KafkaTopic.
const CLUSTER_LABEL: &str = "strimzi.io/cluster";

/// The fields of a KafkaTopic that [`TopicFacts::decode`] reads.
const FIELDS: Keep = Keep::Fields(&[
    (
        "metadata",
        Keep::Fields(&[
            ("name", Keep::Scalar),
            ("generation", Keep::Scalar),
            ("labels", Keep::Fields(&[(CLUSTER_LABEL, Keep::Scalar)])),
            ("annotations", confirmation::ANNOTATIONS),
        ]),
    ),
    ("spec", Keep::Fields(&[("topicName", Keep::Scalar), ("partitions", Keep::Scalar)])),
    (
        "status",
        Keep::Fields(&[
            ("topicId", Keep::Scalar),
            ("topicName", Keep::Scalar),
            ("observedGeneration", Keep::Scalar),
            ("conditions", confirmation::CONDITIONS),
        ]),
    ),
]);

/// The most bytes that are kept of a count that is not one.
const MAX_INVALID: usize = 40;

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
    /// A count of at least 1.
    Known(i32),
    /// spec.partitions is not set: the broker's default applies, which is not known here.
    Unset,
    /// Not a count (zero, negative, a fraction, above 2^31-1, not a number): the value as JSON, cut to
    /// 40 bytes.
    Invalid(String),
}

impl Partitions {
    /// The count if it is known.
    pub const fn known(&self) -> Option<i32> {
        match self {
            Self::Known(count) => Some(*count),
            Self::Unset | Self::Invalid(_) => None,
        }
    }
}

/// A topic's name in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// Strimzi's status.topicName.
    Reported(String),
    /// spec.topicName, or the KafkaTopic's own name. Strimzi has not reported a name.
    Stated(String),
    /// The KafkaTopic states a name that Kafka does not allow, here shortened.
    Invalid(String),
}

impl TopicName {
    fn decode(topic: &Value) -> Self {
        let text =
            |pointer: &str| topic.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(reported) = text("/status/topicName").filter(|name| is_kafka_name(name)) {
            return Self::Reported(reported.to_owned());
        }
        let stated = text("/spec/topicName").or_else(|| text("/metadata/name")).unwrap_or_default();
        if is_kafka_name(stated) {
            Self::Stated(stated.to_owned())
        } else {
            Self::Invalid(stated.chars().take(40).collect())
        }
    }

    /// The name, if Kafka allows it.
    pub fn valid(&self) -> Option<&str> {
        match self {
            Self::Reported(name) | Self::Stated(name) => Some(name),
            Self::Invalid(_) => None,
        }
    }
}

/// Whether Kafka allows a topic of this name.
pub fn is_kafka_name(name: &str) -> bool {
    names::KAFKA_TOPIC.matches(name) && name != "." && name != ".."
}

/// The facts about a KafkaTopic that the operator keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// The name in Kafka.
    pub topic_name: TopicName,
    /// The partition count in the KafkaTopic's spec.
    pub partitions: Partitions,
    /// Whether the spec is in force in Kafka.
    pub confirmation: Confirmation,
    /// The Kafka cluster that it is a topic of: the label that Strimzi demands. `None` if it is
    /// missing.
    pub cluster: Option<Box<str>>,
    /// The topic's id in Kafka; `None` until Strimzi has reported one. It becomes part of the
    /// group's status and of an annotation, so no other text is taken for one.
    pub topic_id: Option<String>,
}

impl TopicFacts {
    /// Reads a KafkaTopic of any supported version. Never fails: an unusable count becomes a
    /// variant of [`Partitions`].
    pub fn decode(topic: &Value) -> Self {
        let topic_id = topic.pointer("/status/topicId").and_then(Value::as_str);
        Self {
            cluster: topic["metadata"]["labels"][CLUSTER_LABEL].as_str().map(Into::into),
            topic_name: TopicName::decode(topic),
            partitions: partitions(topic.pointer("/spec/partitions")),
            confirmation: Confirmation::decode(topic),
            topic_id: topic_id.filter(|id| names::TOPIC_ID.matches(id)).map(str::to_owned),
        }
    }

    /// A topic whose partitions are known without Strimzi, for example from a flag.
    pub fn stated(name: &str, partitions: i32) -> Self {
        Self {
            cluster: None,
            topic_name: TopicName::Stated(name.to_owned()),
            partitions: Partitions::Known(partitions),
            confirmation: Confirmation::NoStatus,
            topic_id: None,
        }
    }

    /// The Kafka cluster and the name in it, by which two KafkaTopics of one namespace are the same
    /// topic; `None` if Kafka does not allow the name.
    pub fn identity(&self) -> Option<(Option<&str>, &str)> {
        Some((self.cluster.as_deref(), self.topic_name.valid()?))
    }

    /// Whether the stated count may be used if none was ever confirmed. Strimzi reports no topicId
    /// of a paused or unmanaged topic, so there its absence means nothing.
    pub const fn counts_unconfirmed(&self) -> bool {
        match self.confirmation {
            Confirmation::NoStatus
            | Confirmation::Confirmed { .. }
            | Confirmation::Paused
            | Confirmation::Unmanaged => true,
            Confirmation::Pending | Confirmation::Rejected(_) | Confirmation::Failed(_) => {
                self.topic_id.is_some()
            }
        }
    }
}

/// Reads only the fields that matter: a KafkaTopic can have a megabyte of others.
impl<'de> Deserialize<'de> for TopicFacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FIELDS.deserialize(deserializer).map(|topic| Self::decode(&topic))
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
        _ => {
            let mut json = stated.map(ToString::to_string).unwrap_or_default();
            json.truncate(json.floor_char_boundary(MAX_INVALID));
            Partitions::Invalid(json)
        }
    }
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
    fn the_name_in_kafka_is_strimzi_s_then_the_spec_s_then_the_object_s() {
        let name = |spec: &Value, status: &Value| decoded(spec, status).topic_name;
        let reported = json!({"topicName": "Fast_Data"});
        assert_eq!(name(&json!({"topicName": "Other"}), &reported), TopicName::Reported("Fast_Data".into()));
        assert_eq!(name(&json!({"topicName": "Other"}), &json!({})), TopicName::Stated("Other".into()));
        assert_eq!(name(&json!({}), &json!(null)), TopicName::Stated("fast-data-topic".into()));
    }

    #[test]
    fn a_topic_is_identified_by_its_cluster_and_its_name_there() {
        let identity = |labels: &Value, name: &str| {
            let topic = json!({"metadata": {"name": "a", "labels": labels}, "spec": {"topicName": name}});
            TopicFacts::decode(&topic).identity().map(|(cluster, name)| format!("{cluster:?} {name}"))
        };
        let of_cluster = json!({"strimzi.io/cluster": "k"});
        assert_eq!(identity(&of_cluster, "Orders").as_deref(), Some("Some(\"k\") Orders"));
        assert_eq!(identity(&json!({}), "Orders").as_deref(), Some("None Orders"));
        assert_eq!(identity(&of_cluster, "a b"), None);
    }

    #[test]
    fn a_topic_id_is_one_of_kafka_or_absent() {
        let id = |id: &Value| decoded(&json!({}), &json!({"topicId": id})).topic_id;
        for good in ["wLHvsTJhQPSQfcFGvPZkdw", "__-AAAAAAAAAAAAAAAAAAQ", &"a".repeat(64)] {
            assert_eq!(id(&json!(good)).as_deref(), Some(good));
        }
        for bad in [json!(""), json!("a b"), json!("a\n"), json!("a\": 1"), json!("a".repeat(65)), json!(7)] {
            assert_eq!(id(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_that_kafka_does_not_allow_is_never_a_topic() {
        for bad in ["orders,payroll", ".", "..", "a b", "a\n", "ä", &"a".repeat(250)] {
            let facts = decoded(&json!({"topicName": bad}), &json!({"topicName": bad}));
            assert!(matches!(facts.topic_name, TopicName::Invalid(_)), "{bad}");
            assert_eq!(facts.topic_name.valid(), None);
        }
        assert!(is_kafka_name(&"a".repeat(249)) && is_kafka_name("A.b_c-9") && is_kafka_name("..."));
    }

    #[test]
    fn without_a_confirmation_a_count_needs_a_topic_in_kafka() {
        let with = |confirmation: Confirmation, topic_id: Option<&str>| {
            let facts = TopicFacts { confirmation, ..TopicFacts::stated("t", 3) };
            TopicFacts { topic_id: topic_id.map(str::to_owned), ..facts }.counts_unconfirmed()
        };
        for confirmation in [
            Confirmation::Pending,
            Confirmation::Rejected(String::new()),
            Confirmation::Failed(String::new()),
        ] {
            assert!(with(confirmation.clone(), Some("id")) && !with(confirmation, None));
        }
        for confirmation in [Confirmation::NoStatus, Confirmation::Paused, Confirmation::Unmanaged] {
            assert!(with(confirmation, None));
        }
    }

    #[test]
    fn a_topic_read_from_text_has_the_facts_of_the_whole_object() {
        let topic = json!({
            "metadata": {"name": "t", "generation": 2, "labels": {"strimzi.io/cluster": "k", "a": "b"},
                "annotations": {"strimzi.io/managed": "true", "a": "b"}},
            "spec": {"topicName": "T", "partitions": 3, "config": {"x": [{"": 0}]}},
            "status": {"topicName": "T", "topicId": "wLHvsTJhQPSQfcFGvPZkdw", "observedGeneration": 2,
                "conditions": [{"type": "Ready", "status": "False", "reason": "KafkaError", "message": "m"}]},
        });
        let facts: TopicFacts = serde_json::from_str(&topic.to_string()).unwrap();
        assert_eq!(facts, TopicFacts::decode(&topic));
        assert_eq!(facts.confirmation, Confirmation::Failed("KafkaError: m".into()));
    }

    #[test]
    fn hostile_values_keep_little() {
        let long = "9".repeat(1 << 20);
        let text = json!({
            "metadata": {"name": "t", "labels": 7, "annotations": []},
            "spec": {"topicName": long, "partitions": long},
            "status": {"topicId": {"a": [{}]}, "conditions": {"a": 1}},
        });
        let facts: TopicFacts = serde_json::from_str(&text.to_string()).unwrap();
        assert_eq!(facts.topic_name, TopicName::Invalid("9".repeat(40)));
        assert_eq!(facts.partitions, Partitions::Invalid(format!("\"{}", "9".repeat(39))));
        assert_eq!(facts.topic_id, None);
        let nested: TopicFacts = serde_json::from_str(r#"{"spec":{"partitions":[{"":0}]}}"#).unwrap();
        assert_eq!(nested.partitions, Partitions::Invalid("[]".into()));
        assert!(serde_json::from_str::<TopicFacts>("7").is_ok());
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
