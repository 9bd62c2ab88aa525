//! The decisions of Strimzi's topic operator about a KafkaTopic. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::{Value, json};

/// The finalizer that keeps a KafkaTopic until its topic is deleted.
pub(super) const FINALIZER: &str = "strimzi.io/topic-operator";
const MANAGED: &str = "strimzi.io/managed";
const PAUSED: &str = "strimzi.io/pause-reconciliation";
/// Kafka's number for its own default of partitions and replicas.
const BROKER_DEFAULT: i32 = -1;

/// A topic as a KafkaTopic specifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DesiredTopic {
    pub name: String,
    pub partitions: i32,
    pub replicas: i32,
    pub config: BTreeMap<String, String>,
}

/// A topic as it is in Kafka. `config` holds only keys that were set for this topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActualTopic {
    pub partitions: i32,
    pub replicas: i32,
    pub config: BTreeMap<String, String>,
}

/// One request to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Grow,
    Configure,
}

/// Why a KafkaTopic is not Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub reason: &'static str,
    pub message: String,
}

impl Rejection {
    pub(super) fn kafka(message: impl Into<String>) -> Self {
        Self { reason: "KafkaError", message: message.into() }
    }

    /// Whether the same request may succeed later. A changed spec comes as an event of the watch.
    pub(super) fn is_retryable(&self) -> bool {
        self.reason == "KafkaError"
    }

    fn unsupported(message: impl Into<String>) -> Self {
        Self { reason: "NotSupported", message: message.into() }
    }
}

/// How a KafkaTopic is to be handled, decided without its topic in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicStatus {
    /// It is being deleted, and so is the topic of this name; none if another KafkaTopic manages
    /// it, or if it is unmanaged.
    Deleting(Option<String>),
    /// It cannot be applied.
    Rejected(Rejection),
    /// Its topic is not managed.
    Unmanaged,
    /// Its reconciliation is paused.
    Paused,
    /// Kafka's topic has to match it.
    Managed(DesiredTopic),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    topic_name: Option<String>,
    partitions: Option<i32>,
    replicas: Option<i32>,
    config: Option<BTreeMap<String, Value>>,
}

/// How to handle a KafkaTopic. `all` are all KafkaTopics, itself included.
pub(super) fn topic_status<'a>(
    topic: &DynamicObject,
    all: impl IntoIterator<Item = &'a DynamicObject>,
) -> TopicStatus {
    let is_deleting = topic.metadata.deletion_timestamp.is_some();
    if annotated(topic, MANAGED, "false") {
        return if is_deleting { TopicStatus::Deleting(None) } else { TopicStatus::Unmanaged };
    }
    let desired = match desired(topic) {
        Ok(desired) => desired,
        Err(rejection) => return TopicStatus::Rejected(rejection),
    };
    if topic.data["status"]["topicName"].as_str().is_some_and(|before| before != desired.name) {
        return TopicStatus::Rejected(Rejection::unsupported("Changing spec.topicName is not supported"));
    }
    let oldest = all
        .into_iter()
        .filter(|other| !annotated(other, MANAGED, "false") && name_in_kafka(other) == desired.name)
        .min_by_key(|other| age(other));
    match oldest.filter(|oldest| age(oldest) < age(topic)) {
        Some(_) if is_deleting => TopicStatus::Deleting(None),
        Some(oldest) => TopicStatus::Rejected(Rejection {
            reason: "ResourceConflict",
            message: format!("Managed by KafkaTopic {}", full_name(oldest)),
        }),
        None if is_deleting => TopicStatus::Deleting(Some(desired.name)),
        None if annotated(topic, PAUSED, "true") => TopicStatus::Paused,
        None => TopicStatus::Managed(desired),
    }
}

/// The requests to Kafka, and the rejection of changes that Kafka does not support.
pub(super) fn plan(desired: &DesiredTopic, actual: Option<&ActualTopic>) -> (Vec<Action>, Option<Rejection>) {
    let Some(actual) = actual else { return (vec![Action::Create], None) };
    let mut actions = Vec::new();
    let mut rejection = None;
    if actual.config != desired.config {
        actions.push(Action::Configure);
    }
    if desired.replicas != BROKER_DEFAULT && desired.replicas != actual.replicas {
        // Strimzi lists the partitions with another replication factor, which are all of a topic here.
        let partitions: Vec<_> = (0..actual.partitions).collect();
        rejection = Some(Rejection::unsupported(format!(
            "Replication factor change not supported, but required for partitions {partitions:?}"
        )));
    }
    if desired.partitions > actual.partitions {
        actions.push(Action::Grow);
    } else if desired.partitions != BROKER_DEFAULT && desired.partitions < actual.partitions {
        rejection = Some(Rejection::unsupported("Decreasing partitions not supported"));
    }
    (actions, rejection)
}

/// The outcome of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Ready { topic_id: String },
    Rejected(Rejection),
    Unmanaged,
    Paused,
}

/// The merge patch for the status; none if the status is up to date.
pub(super) fn status(topic: &DynamicObject, outcome: &Outcome, now: Timestamp) -> Option<Value> {
    let before = &topic.data["status"];
    let mut condition = match outcome {
        Outcome::Ready { .. } => json!({"type": "Ready", "status": "True"}),
        Outcome::Rejected(Rejection { reason, message }) => {
            json!({"type": "Ready", "status": "False", "reason": reason, "message": message})
        }
        Outcome::Unmanaged => json!({"type": "Unmanaged", "status": "True"}),
        Outcome::Paused => json!({"type": "ReconciliationPaused", "status": "True"}),
    };
    let same = before["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
    let since = same.and_then(|old| old["lastTransitionTime"].as_str());
    condition["lastTransitionTime"] = since.map_or_else(|| now.to_string().into(), Value::from);
    let mut status = json!({"conditions": [condition]});
    // The current generation of a paused KafkaTopic was not observed.
    status["observedGeneration"] = match outcome {
        Outcome::Paused => before["observedGeneration"].as_i64().unwrap_or(0).into(),
        _ => topic.metadata.generation.into(),
    };
    // The name never changes; an unmanaged topic has none.
    status["topicName"] = match (outcome, before["topicName"].as_str()) {
        (Outcome::Unmanaged, _) => Value::Null,
        (_, Some(name)) => name.into(),
        (_, None) => name_in_kafka(topic).into(),
    };
    match outcome {
        Outcome::Ready { topic_id } => status["topicId"] = topic_id.as_str().into(),
        Outcome::Unmanaged => status["topicId"] = Value::Null,
        Outcome::Rejected(_) | Outcome::Paused => {}
    }
    let is_current = status.as_object().into_iter().flatten().all(|(field, value)| &before[field] == value);
    (!is_current).then(|| json!({"status": status}))
}

/// The finalizers with ours, which a KafkaTopic needs while its topic may exist; none if it has
/// ours already.
pub(super) fn finalizers_with(topic: &DynamicObject) -> Option<Vec<String>> {
    let mut finalizers = topic.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|name| name == FINALIZER) {
        return None;
    }
    finalizers.push(FINALIZER.into());
    Some(finalizers)
}

/// The finalizers without ours; none if ours is not among them.
pub(super) fn finalizers_without(topic: &DynamicObject) -> Option<Vec<String>> {
    let finalizers = topic.metadata.finalizers.clone().unwrap_or_default();
    let others: Vec<_> = finalizers.iter().filter(|name| *name != FINALIZER).cloned().collect();
    (others.len() < finalizers.len()).then_some(others)
}

fn desired(topic: &DynamicObject) -> Result<DesiredTopic, Rejection> {
    let spec: Option<Spec> = serde_json::from_value(topic.data["spec"].clone()).map_err(|error| {
        Rejection { reason: "InternalError", message: format!("cannot parse spec: {error}") }
    })?;
    let spec = spec.unwrap_or_default();
    Ok(DesiredTopic {
        name: name_in_kafka(topic).to_owned(),
        partitions: spec.partitions.unwrap_or(BROKER_DEFAULT),
        replicas: spec.replicas.unwrap_or(BROKER_DEFAULT),
        config: spec.config.unwrap_or_default().into_iter().map(|(key, value)| (key, text(&value))).collect(),
    })
}

fn name_in_kafka(topic: &DynamicObject) -> &str {
    let own = topic.metadata.name.as_deref().unwrap_or_default();
    topic.data["spec"]["topicName"].as_str().unwrap_or(own)
}

/// A value as Kafka's config has it: text, with commas between list items.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn annotated(topic: &DynamicObject, annotation: &str, value: &str) -> bool {
    topic.metadata.annotations.as_ref().and_then(|all| all.get(annotation)).is_some_and(|is| is == value)
}

/// The order of KafkaTopics by age; the oldest one manages a topic. The name decides within the
/// same second.
fn age(topic: &DynamicObject) -> (Option<Timestamp>, String) {
    (topic.metadata.creation_timestamp.as_ref().map(|time| time.0), full_name(topic))
}

fn full_name(topic: &DynamicObject) -> String {
    let [namespace, name] = [&topic.metadata.namespace, &topic.metadata.name].map(|part| part.as_deref());
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}

#[cfg(test)]
mod tests;
