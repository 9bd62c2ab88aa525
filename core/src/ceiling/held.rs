//! The counts that are held while a KafkaTopic's own count is not used.

use std::collections::BTreeMap;

use kcg_api::topic::{self, TopicRef};
use serde::{Deserialize, Serialize};

/// The last known facts of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldTopic {
    /// The last confirmed count; `None` if there never was one. It falls only with a new topicId.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partitions: Option<i32>,
    /// The count in use that Strimzi has not confirmed. It follows the KafkaTopic in both
    /// directions, and is kept only while the KafkaTopic cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unconfirmed: Option<i32>,
    /// The name in Kafka, for the consumers while the KafkaTopic is missing; empty if it is not
    /// known.
    pub topic_name: String,
    /// Kafka's id of the topic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
}

impl HeldTopic {
    /// The count in use.
    pub fn in_use(&self) -> Option<i32> {
        self.unconfirmed.or(self.partitions)
    }

    /// The name in Kafka, if it is known.
    pub fn topic_name(&self) -> Option<&str> {
        Some(self.topic_name.as_str()).filter(|name| !name.is_empty())
    }
}

/// The held partitions by `namespace/name` of the KafkaTopic. An annotation of the
/// HorizontalPodAutoscaler stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Held(pub BTreeMap<String, HeldTopic>);

impl Held {
    /// Parses the annotation; `None` if it does not parse or has a count below 1. Drops a name that
    /// Kafka does not allow.
    pub fn parse(annotation: &str) -> Option<Self> {
        let mut held: Self = serde_json::from_str(annotation).ok()?;
        for topic in held.0.values_mut() {
            if [topic.partitions, topic.unconfirmed].into_iter().flatten().any(|count| count < 1) {
                return None;
            }
            if !topic::is_kafka_name(&topic.topic_name) {
                topic.topic_name.clear();
            }
        }
        Some(held)
    }

    /// The annotation's value.
    #[allow(clippy::missing_panics_doc)]
    pub fn annotation(&self) -> String {
        serde_json::to_string(self).expect("invariant: a map from text to plain structs serializes")
    }

    pub(super) fn of(&self, topic: &TopicRef) -> Option<&HeldTopic> {
        self.0.get(&topic.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(topic: HeldTopic) -> Held {
        Held([("default/a".to_owned(), topic)].into())
    }

    #[test]
    fn the_annotation_reads_back_and_a_malformed_one_is_ignored() {
        let all = only(HeldTopic {
            partitions: Some(3),
            unconfirmed: Some(5),
            topic_name: "A".into(),
            topic_id: Some("id".into()),
        });
        assert_eq!(Held::parse(&all.annotation()), Some(all));
        for malformed in [
            "",
            "{",
            "[]",
            r#"{"default/a":{"partitions":0,"topicName":"a"}}"#,
            r#"{"default/a":{"unconfirmed":-1,"topicName":"a"}}"#,
        ] {
            assert_eq!(Held::parse(malformed), None, "{malformed}");
        }
    }

    /// Versions without confirmation wrote `partitions`, and read only it, `topicName` and
    /// `topicId`.
    #[test]
    fn versions_without_confirmation_read_the_annotation_and_theirs_counts_as_confirmed() {
        let theirs = r#"{"default/a":{"partitions":3,"topicName":"a","topicId":"id"}}"#;
        let read = Held::parse(theirs).expect("it parses");
        assert_eq!((read.0["default/a"].partitions, read.0["default/a"].unconfirmed), (Some(3), None));
        assert_eq!(read.annotation(), theirs);
        let unconfirmed = only(HeldTopic { unconfirmed: Some(3), ..HeldTopic::default() });
        assert_eq!(unconfirmed.annotation(), r#"{"default/a":{"unconfirmed":3,"topicName":""}}"#);
    }

    #[test]
    fn a_held_name_that_kafka_does_not_allow_is_dropped() {
        let held = Held::parse(r#"{"default/a":{"partitions":3,"topicName":"a,b"}}"#).expect("it parses");
        assert_eq!((held.0["default/a"].topic_name(), held.0["default/a"].partitions), (None, Some(3)));
    }
}
