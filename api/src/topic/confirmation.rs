//! What Strimzi reports about a KafkaTopic: whether its spec is in force in Kafka.
//!
//! *Source:* Strimzi's `BatchingTopicController`, the same in 0.36 to 1.2. It creates missing
//! partitions before it compares the replication factor, and reports the first error only.

use serde_json::Value;

use crate::projection::Keep;

/// Strimzi does not reconcile a KafkaTopic with this annotation set to `"true"`.
const ANNOTATION_PAUSE: &str = "strimzi.io/pause-reconciliation";
/// Strimzi does not manage the topic of a KafkaTopic with this annotation set to `"false"`.
const ANNOTATION_MANAGED: &str = "strimzi.io/managed";

/// The annotations that are read.
pub(super) const ANNOTATIONS: Keep =
    Keep::Fields(&[(ANNOTATION_PAUSE, Keep::Scalar), (ANNOTATION_MANAGED, Keep::Scalar)]);

/// What is read of the conditions.
pub(super) const CONDITIONS: Keep = Keep::Items(&Keep::Fields(&[
    ("type", Keep::Scalar),
    ("status", Keep::Scalar),
    ("reason", Keep::Scalar),
    ("message", Keep::Scalar),
]));

/// How Strimzi's messages begin that reject the replication factor alone: the partitions of the
/// same generation are in force.
const REPLICATION_FACTOR_MESSAGES: [&str; 1] =
    ["Replication factor change not supported, but required for partitions "];

/// The longest text of Strimzi's that is kept, in bytes.
const WORDS_LENGTH: usize = 300;

/// Whether Strimzi has confirmed the current generation of a KafkaTopic's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Strimzi has written no status: it has not seen the KafkaTopic, or does not run.
    NoStatus,
    /// The status is of an earlier generation.
    Pending,
    /// The partitions are in force.
    Confirmed {
        /// What Strimzi rejected apart from them, in its words.
        rejected: Option<String>,
    },
    /// Strimzi rejected the spec: a retry does not help.
    Rejected(String),
    /// Strimzi could not bring the spec to Kafka: it tries again.
    Failed(String),
    /// The annotation `strimzi.io/pause-reconciliation` keeps changes from Kafka.
    Paused,
    /// The annotation `strimzi.io/managed` keeps changes from Kafka.
    Unmanaged,
}

impl Confirmation {
    /// Reads it from a KafkaTopic.
    pub(super) fn decode(topic: &Value) -> Self {
        let annotation = |name: &str| topic["metadata"]["annotations"][name].as_str();
        let status = &topic["status"];
        let generation = topic["metadata"]["generation"].as_i64();
        let observed = status["observedGeneration"].as_i64();
        let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let is_current = observed.is_some() && observed == generation;
        let holds = |type_: &str| {
            is_current && condition(conditions, type_).is_some_and(|found| found["status"] == "True")
        };
        if annotation(ANNOTATION_MANAGED) == Some("false") || holds("Unmanaged") {
            Self::Unmanaged
        } else if annotation(ANNOTATION_PAUSE) == Some("true") || holds("ReconciliationPaused") {
            Self::Paused
        } else if observed.is_none() && conditions.is_empty() && status["topicId"].is_null() {
            Self::NoStatus
        } else if holds("Ready") {
            Self::Confirmed { rejected: None }
        } else if let Some(ready) =
            condition(conditions, "Ready").filter(|ready| is_current && ready["status"] == "False")
        {
            Self::not_ready(ready)
        } else {
            Self::Pending
        }
    }

    fn not_ready(ready: &Value) -> Self {
        let field = |name: &str| ready[name].as_str().unwrap_or_default();
        let (reason, message) = (field("reason"), field("message"));
        let words = match (reason.is_empty(), message.is_empty()) {
            (false, false) => format!("{reason}: {message}"),
            _ => format!("{reason}{message}"),
        };
        let words = shortened(words);
        match reason {
            "NotSupported" if rejects_the_replication_factor_alone(message) => {
                Self::Confirmed { rejected: Some(words) }
            }
            "NotSupported" | "ResourceConflict" => Self::Rejected(words),
            _ => Self::Failed(words),
        }
    }
}

fn condition<'a>(conditions: &'a [Value], type_: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition["type"] == type_)
}

fn rejects_the_replication_factor_alone(message: &str) -> bool {
    REPLICATION_FACTOR_MESSAGES.iter().any(|beginning| message.starts_with(beginning))
}

/// The list of partitions in a message grows with the topic.
fn shortened(mut words: String) -> String {
    if words.len() > WORDS_LENGTH {
        words.truncate(words.floor_char_boundary(WORDS_LENGTH));
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The confirmation of generation 2 of a KafkaTopic.
    fn decoded(annotations: &Value, status: &Value) -> Confirmation {
        Confirmation::decode(
            &json!({"metadata": {"generation": 2, "annotations": annotations}, "status": status}),
        )
    }

    fn status(observed: i64, type_: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"observedGeneration": observed, "conditions": [
            {"type": "Warning", "status": "True", "reason": "InvalidConfig"},
            {"type": type_, "status": status, "reason": reason, "message": message},
        ]})
    }

    fn not_ready(reason: &str, message: &str) -> Confirmation {
        decoded(&json!(null), &status(2, "Ready", "False", reason, message))
    }

    #[test]
    fn a_generation_is_confirmed_by_ready_for_that_very_generation() {
        let ready = |observed| decoded(&json!({}), &status(observed, "Ready", "True", "", ""));
        assert_eq!(ready(2), Confirmation::Confirmed { rejected: None });
        assert_eq!(ready(1), Confirmation::Pending);
        assert_eq!(ready(3), Confirmation::Pending);
        assert_eq!(decoded(&json!({}), &json!({"topicId": "a"})), Confirmation::Pending);
        assert_eq!(decoded(&json!({}), &json!({"observedGeneration": 2})), Confirmation::Pending);
        let unknown = status(2, "Ready", "Unknown", "", "");
        assert_eq!(decoded(&json!({}), &unknown), Confirmation::Pending);
    }

    #[test]
    fn without_a_status_nothing_is_confirmed_and_nothing_is_wrong() {
        for empty in [json!(null), json!({}), json!({"conditions": []}), json!("x"), json!({"conditions": 3})]
        {
            assert_eq!(decoded(&json!({}), &empty), Confirmation::NoStatus, "{empty}");
        }
    }

    /// The sentences are those of Strimzi's own tests (`CoreFeaturesIT`).
    #[test]
    fn only_a_rejected_replication_factor_leaves_the_partitions_in_force() {
        for message in [
            "Replication factor change not supported, but required for partitions [0]",
            "Replication factor change not supported, but required for partitions [0, 1]",
        ] {
            let rejected = Some(format!("NotSupported: {message}"));
            assert_eq!(not_ready("NotSupported", message), Confirmation::Confirmed { rejected });
            assert!(matches!(not_ready("KafkaError", message), Confirmation::Failed(_)));
        }
        for (reason, message) in [
            ("NotSupported", "Decreasing partitions not supported"),
            ("NotSupported", "Changing spec.topicName is not supported"),
            ("NotSupported", "A sentence of a later version"),
            ("NotSupported", ""),
            ("ResourceConflict", "Managed by Ref{namespace='shop', name='orders'}"),
        ] {
            assert!(matches!(not_ready(reason, message), Confirmation::Rejected(_)), "{reason} {message}");
        }
    }

    #[test]
    fn what_strimzi_tries_again_is_not_a_rejection() {
        for (reason, message, words) in [
            (
                "KafkaError",
                "TimeoutException: Call: listTopics",
                "KafkaError: TimeoutException: Call: listTopics",
            ),
            (
                "InternalError",
                "java.lang.NullPointerException",
                "InternalError: java.lang.NullPointerException",
            ),
            ("TimeoutException", "", "TimeoutException"),
            ("", "only a message", "only a message"),
            ("", "", ""),
        ] {
            assert_eq!(not_ready(reason, message), Confirmation::Failed(words.into()));
        }
        assert_eq!(
            decoded(&json!({}), &status(1, "Ready", "False", "KafkaError", "old")),
            Confirmation::Pending
        );
    }

    #[test]
    fn a_paused_and_an_unmanaged_topic_are_recognized_before_and_after_strimzi_reports_it() {
        let annotated = |name: &str, value: &str| decoded(&json!({name: value}), &json!({}));
        assert_eq!(annotated(ANNOTATION_PAUSE, "true"), Confirmation::Paused);
        assert_eq!(annotated(ANNOTATION_PAUSE, "false"), Confirmation::NoStatus);
        assert_eq!(annotated(ANNOTATION_MANAGED, "false"), Confirmation::Unmanaged);
        assert_eq!(annotated(ANNOTATION_MANAGED, "true"), Confirmation::NoStatus);
        let reported = |type_| decoded(&json!({}), &status(2, type_, "True", "", ""));
        assert_eq!(reported("ReconciliationPaused"), Confirmation::Paused);
        assert_eq!(reported("Unmanaged"), Confirmation::Unmanaged);
        let earlier = decoded(&json!({}), &status(1, "ReconciliationPaused", "True", "", ""));
        assert_eq!(earlier, Confirmation::Pending);
    }

    #[test]
    fn a_message_of_any_length_is_kept_short() {
        let Confirmation::Failed(words) = not_ready("KafkaError", &"ü".repeat(100_000)) else {
            panic!("it failed")
        };
        assert!(words.len() <= WORDS_LENGTH + '…'.len_utf8() && words.ends_with('…'), "{words}");
    }
}
