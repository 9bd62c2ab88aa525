//! What the operator reports in a group's status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::condition::ConditionType;

/// The state that the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KconsumerGroupStatus {
    /// The generation of the spec for which this status was written; -1 until the operator has
    /// seen the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of consumer pods.
    pub replicas: i32,
    /// Number of ready consumer pods.
    pub ready_replicas: i32,
    /// Number of available consumer pods: those that have been ready for the Deployment's
    /// minReadySeconds.
    pub available_replicas: i32,
    /// Sorted names of the group's running pods, without terminating pods.
    pub active_pods: Vec<String>,
    /// Result of the last reconciliation in one line.
    pub message: String,
    /// Number of partitions that counts for the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Ceiling in force: maxReplicas of the HorizontalPodAutoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// The lag that the HorizontalPodAutoscaler last read. It is written with other changes of the
    /// status, or if it crosses zero, the limit, or the limit and the autoscaler's tolerance (10 %
    /// by default), doubles or halves; on its own at most every 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagStatus>,
    /// Version of the defaults of the pod template, for a Deployment that has to be created again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults_version: Option<String>,
    /// The topics and the partition counts in use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicStatus>,
    /// Conditions of the group: Ready, Progressing, Stalled, TopicsResolved, MetricsAvailable,
    /// MonitoringAccepted, PartitionBound and Paused.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "own_conditions")]
    pub conditions: Vec<Condition>,
}

/// A stored condition, whose time may be a text that is none for us: Kubernetes accepts more.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredCondition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    last_transition_time: String,
    observed_generation: Option<i64>,
}

/// The conditions of our types, in our order. Other managers may keep theirs in the same list, which an
/// apply does not remove: they are no change of the status, and none of them makes it unreadable.
fn own_conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let stored = Vec::<StoredCondition>::deserialize(deserializer)?;
    let own = stored.into_iter().filter_map(|condition| {
        let type_ = ConditionType::named(&condition.r#type)?;
        let last_transition_time = Time(condition.last_transition_time.parse().ok()?);
        let StoredCondition { r#type, status, reason, message, observed_generation, .. } = condition;
        let own =
            Condition { type_: r#type, status, reason, message, last_transition_time, observed_generation };
        Some((type_, own))
    });
    let mut own: Vec<(ConditionType, Condition)> = own.collect();
    own.sort_by_key(|(type_, _)| *type_);
    Ok(own.into_iter().map(|(_, condition)| condition).collect())
}

/// The lag in records, averaged over the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LagStatus {
    /// The lag, rounded to two significant digits. Not set while the HorizontalPodAutoscaler does
    /// not read the lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<i64>,
    /// The limit: spec.averageRecordsLagLimit.
    pub limit: i64,
    /// Both in short, as kubectl prints them: `950/1k`, or `<unknown>/1k`.
    pub summary: String,
}

/// One topic of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatus {
    /// Name of the KafkaTopic.
    pub name: String,
    /// Namespace of the KafkaTopic.
    pub namespace: String,
    /// Name of the topic in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Partition count in use: the last one that Strimzi has confirmed, or the stated one if none
    /// was ever confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Kafka's id of the topic, as reported by Strimzi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(type_: &str, time: &str) -> Value {
        json!({"type": type_, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": time})
    }

    fn types(conditions: &[Value]) -> Vec<String> {
        let status = json!({"replicas": 3, "conditions": conditions});
        let status: KconsumerGroupStatus = serde_json::from_value(status).unwrap();
        assert_eq!(status.replicas, 3);
        status.conditions.into_iter().map(|condition| condition.type_).collect()
    }

    #[test]
    fn conditions_of_others_are_no_part_of_the_status_whatever_they_contain() {
        let time = "2026-01-01T00:00:00Z";
        let own = [condition("Ready", time), condition("Paused", time)];
        let [ready, paused] = own.clone();
        assert_eq!(types(&own), ["Ready", "Paused"]);
        for foreign in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "never", ""] {
            let mixed = [paused.clone(), condition("example.com/Backup", foreign), ready.clone()];
            assert_eq!(types(&mixed), ["Ready", "Paused"], "{foreign}");
        }
        // One of ours that cannot be read is written again; the others keep their times.
        assert_eq!(types(&[condition("Ready", "2026-01-01T00:00:00+99:99"), paused]), ["Paused"]);
    }
}
