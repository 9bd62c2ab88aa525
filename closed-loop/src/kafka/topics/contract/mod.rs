//! What Strimzi's topic operator makes of a KafkaTopic: decided here, done elsewhere.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::{Value, json};

/// Keeps a KafkaTopic from going before its topic has gone.
pub(super) const FINALIZER: &str = "strimzi.io/topic-operator";
const MANAGED: &str = "strimzi.io/managed";
const PAUSED: &str = "strimzi.io/pause-reconciliation";
/// What Kafka takes as "your own default", of partitions and of replicas.
const BROKER_DEFAULT: i32 = -1;

/// A topic as a KafkaTopic wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub name: String,
    pub partitions: i32,
    pub replicas: i32,
    pub config: BTreeMap<String, String>,
}

/// A topic as Kafka has it; of its config only what was set for this topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
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
pub(super) struct Refusal {
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn kafka(message: impl Into<String>) -> Self {
        Self { reason: "KafkaError", message: message.into() }
    }

    /// Whether the same request may be granted later; of another spec the watch tells.
    pub fn may_pass(&self) -> bool {
        self.reason == "KafkaError"
    }

    fn unsupported(message: impl Into<String>) -> Self {
        Self { reason: "NotSupported", message: message.into() }
    }
}

/// What is to be done about a KafkaTopic, before Kafka is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes, and with it the topic of this name; none where another KafkaTopic or nobody manages that.
    Going(Option<String>),
    /// It cannot be followed.
    Refused(Refusal),
    /// It speaks for a topic that is left alone.
    Unmanaged,
    /// It is left alone for now.
    Paused,
    /// Kafka is to be as it says.
    Managed(Wanted),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    topic_name: Option<String>,
    partitions: Option<i32>,
    replicas: Option<i32>,
    config: Option<BTreeMap<String, Value>>,
}

/// Where a KafkaTopic stands among `all`, itself included.
pub(super) fn standing<'a>(
    topic: &DynamicObject,
    all: impl IntoIterator<Item = &'a DynamicObject>,
) -> Standing {
    let going = topic.metadata.deletion_timestamp.is_some();
    if annotated(topic, MANAGED, "false") {
        return if going { Standing::Going(None) } else { Standing::Unmanaged };
    }
    let wanted = match wanted(topic) {
        Ok(wanted) => wanted,
        Err(refusal) => return Standing::Refused(refusal),
    };
    if topic.data["status"]["topicName"].as_str().is_some_and(|before| before != wanted.name) {
        return Standing::Refused(Refusal::unsupported("Changing spec.topicName is not supported"));
    }
    let oldest = all
        .into_iter()
        .filter(|other| !annotated(other, MANAGED, "false") && name_in_kafka(other) == wanted.name)
        .min_by_key(|other| age(other));
    match oldest.filter(|oldest| age(oldest) < age(topic)) {
        Some(_) if going => Standing::Going(None),
        Some(oldest) => Standing::Refused(Refusal {
            reason: "ResourceConflict",
            message: format!("Managed by KafkaTopic {}", full_name(oldest)),
        }),
        None if going => Standing::Going(Some(wanted.name)),
        None if annotated(topic, PAUSED, "true") => Standing::Paused,
        None => Standing::Managed(wanted),
    }
}

/// What Kafka is to be asked, and what it is not asked, since it could only refuse.
pub(super) fn plan(wanted: &Wanted, seen: Option<&Seen>) -> (Vec<Action>, Option<Refusal>) {
    let Some(seen) = seen else { return (vec![Action::Create], None) };
    let mut actions = Vec::new();
    let mut refusal = None;
    if seen.config != wanted.config {
        actions.push(Action::Configure);
    }
    if wanted.replicas != BROKER_DEFAULT && wanted.replicas != seen.replicas {
        refusal = Some(Refusal::unsupported("Replication factor change not supported"));
    }
    if wanted.partitions > seen.partitions {
        actions.push(Action::Grow);
    } else if wanted.partitions != BROKER_DEFAULT && wanted.partitions < seen.partitions {
        refusal = Some(Refusal::unsupported("Decreasing partitions not supported"));
    }
    (actions, refusal)
}

/// What came of a KafkaTopic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Ready { topic_id: String },
    Refused(Refusal),
    Unmanaged,
    Paused,
}

/// The changes to status that tell it, as a merge patch; nothing where it is told already.
pub(super) fn status(topic: &DynamicObject, outcome: &Outcome, now: Timestamp) -> Option<Value> {
    let before = &topic.data["status"];
    let mut condition = match outcome {
        Outcome::Ready { .. } => json!({"type": "Ready", "status": "True"}),
        Outcome::Refused(Refusal { reason, message }) => {
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
    // A KafkaTopic that is paused has not been looked at in its present form.
    status["observedGeneration"] = match outcome {
        Outcome::Paused => before["observedGeneration"].as_i64().unwrap_or(0).into(),
        _ => topic.metadata.generation.into(),
    };
    // The name stays as it first was; nobody answers for an unmanaged topic.
    status["topicName"] = match (outcome, before["topicName"].as_str()) {
        (Outcome::Unmanaged, _) => Value::Null,
        (_, Some(name)) => name.into(),
        (_, None) => name_in_kafka(topic).into(),
    };
    match outcome {
        Outcome::Ready { topic_id } => status["topicId"] = topic_id.as_str().into(),
        Outcome::Unmanaged => status["topicId"] = Value::Null,
        Outcome::Refused(_) | Outcome::Paused => {}
    }
    let told = status.as_object().into_iter().flatten().all(|(field, value)| &before[field] == value);
    (!told).then(|| json!({"status": status}))
}

/// The finalizers that a KafkaTopic has to have while its topic may be there; nothing where it has them.
pub(super) fn finalizers_with(topic: &DynamicObject) -> Option<Vec<String>> {
    let mut finalizers = topic.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|name| name == FINALIZER) {
        return None;
    }
    finalizers.push(FINALIZER.into());
    Some(finalizers)
}

/// The finalizers of others; nothing where ours is not among them.
pub(super) fn finalizers_without(topic: &DynamicObject) -> Option<Vec<String>> {
    let finalizers = topic.metadata.finalizers.clone().unwrap_or_default();
    let others: Vec<_> = finalizers.iter().filter(|name| *name != FINALIZER).cloned().collect();
    (others.len() < finalizers.len()).then_some(others)
}

fn wanted(topic: &DynamicObject) -> Result<Wanted, Refusal> {
    let spec: Option<Spec> = serde_json::from_value(topic.data["spec"].clone()).map_err(|error| Refusal {
        reason: "InternalError",
        message: format!("spec cannot be read: {error}"),
    })?;
    let spec = spec.unwrap_or_default();
    Ok(Wanted {
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

/// Kafka's settings are text: lists are joined by commas.
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

/// The older one manages a topic; of two of the same second, one of them.
fn age(topic: &DynamicObject) -> (Option<Timestamp>, String) {
    (topic.metadata.creation_timestamp.as_ref().map(|time| time.0), full_name(topic))
}

fn full_name(topic: &DynamicObject) -> String {
    let [namespace, name] = [&topic.metadata.namespace, &topic.metadata.name].map(|part| part.as_deref());
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}

#[cfg(test)]
mod tests;
