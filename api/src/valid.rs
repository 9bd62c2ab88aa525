//! The one door to the operator: a group that has passed every static rule, with every default
//! derived. The webhook, the controller and `validate` come in by the same `ValidGroup::read`. Floor 0.

use std::collections::HashSet;

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::group::{AlertsSpec, KconsumerGroup, KconsumerGroupSpec, Labels, PartitionPolicy};
use crate::overlay::{self, Overlay};
use crate::rule_input::RuleInput;
pub use crate::rule_input::TopicGrants;
use crate::rules;
use crate::topic::TopicRef;
use crate::violation::{ErrorType, Rule, Violation};

/// A group that keeps every static rule.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidGroup {
    pub name: String,
    pub namespace: String,
    /// Empty for a group that is not stored (`render`).
    pub uid: String,
    pub generation: i64,
    pub min_replicas: i32,
    /// spec.maxReplicas: the person's cost cap.
    pub cap: Option<i32>,
    /// In records: each pod's worst partition's lag, averaged over the pods.
    pub lag_limit: i64,
    pub paused: bool,
    pub consumer: Consumer,
    pub metrics: Metrics,
    pub alerts: AlertsSpec,
    pub scaling: Scaling,
}

/// What consumes, and what it consumes.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub image: String,
    pub container_name: String,
    /// At least one, distinct, in the order of the spec.
    pub topics: Vec<TopicRef>,
    pub group_id: String,
    pub bootstrap_servers: Option<String>,
    pub partitions_per_consumer: i32,
    pub env: Vec<EnvVar>,
    pub env_from: Vec<EnvFromSource>,
    pub resources: Option<ResourceRequirements>,
    pub image_pull_policy: Option<String>,
    pub image_pull_secrets: Vec<LocalObjectReference>,
    pub overlay: Option<Overlay>,
}

/// Where the lag is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub port: i32,
    pub path: String,
    pub interval: String,
    pub lag_metric: String,
    /// On the ServiceMonitor.
    pub labels: Labels,
}

/// How the group scales and rolls; `None` is the operator's own default.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    pub strategy: Option<DeploymentStrategy>,
    pub policy: PartitionPolicy,
}

impl ValidGroup {
    /// Reads a stored group: its spec with every default derived, or every static rule that it breaks.
    pub fn read(group: &KconsumerGroup, grants: &TopicGrants) -> Result<Self, Vec<Violation>> {
        let metadata = &group.metadata;
        let name = metadata.name.as_deref().filter(|name| !name.is_empty());
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let spec = &group.spec;
        let violations = rules::check(&RuleInput { name, namespace, spec, grants });
        if !violations.is_empty() {
            return Err(violations);
        }
        let endpoint = spec.metrics.preset.endpoint();
        Ok(Self {
            name: name.unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            min_replicas: spec.min_replicas,
            cap: spec.max_replicas,
            lag_limit: spec.average_records_lag_limit,
            paused: spec.paused,
            consumer: Consumer::derive(spec, name.unwrap_or_default(), namespace),
            metrics: Metrics {
                port: spec.metrics.port.unwrap_or(endpoint.port),
                path: spec.metrics.path.clone().unwrap_or_else(|| endpoint.path.to_owned()),
                interval: spec.metrics.interval.clone(),
                lag_metric: spec.metrics.lag_metric.clone().unwrap_or_else(|| endpoint.lag_metric.to_owned()),
                labels: spec.metrics.labels.clone(),
            },
            alerts: spec.alerts.clone(),
            scaling: Scaling {
                behavior: spec.scaling.behavior.clone(),
                strategy: spec.scaling.strategy.clone(),
                policy: spec.scaling.partitions,
            },
        })
    }
}

impl Consumer {
    fn derive(spec: &KconsumerGroupSpec, name: &str, namespace: &str) -> Self {
        let consumer = &spec.consumer_spec;
        Self {
            image: consumer.image.clone(),
            container_name: consumer.container_name.clone().unwrap_or_else(|| name.to_owned()),
            topics: topics(spec, namespace),
            group_id: consumer.group_id.clone().unwrap_or_else(|| name.to_owned()),
            bootstrap_servers: consumer.bootstrap_servers.clone(),
            partitions_per_consumer: consumer.partitions_per_consumer,
            env: consumer.env.clone(),
            env_from: consumer.env_from.clone(),
            resources: consumer.resources.clone(),
            image_pull_policy: consumer.image_pull_policy.clone(),
            image_pull_secrets: consumer.image_pull_secrets.clone(),
            // The rules have read it already; what cannot be read is not valid.
            overlay: consumer.pod_template.as_ref().and_then(|template| overlay::read(template).ok()),
        }
    }
}

/// The KafkaTopics that a spec names, each once, `topic` first.
pub fn topics(spec: &KconsumerGroupSpec, namespace: &str) -> Vec<TopicRef> {
    let consumer = &spec.consumer_spec;
    let namespace = consumer.topic_namespace.as_deref().unwrap_or(namespace);
    let mut before = HashSet::new();
    let names = consumer.topic.iter().chain(&consumer.topics).filter(|name| before.insert(name.as_str()));
    names.map(|name| TopicRef { namespace: namespace.to_owned(), name: name.clone() }).collect()
}

/// A group as somebody wrote it: what could be read of its spec, and every value of a wrong type.
#[derive(Clone, Debug)]
pub struct ParsedGroup {
    pub group: KconsumerGroup,
    pub violations: Vec<Violation>,
}

/// Reads a group that may be malformed, without giving up at the first value of a wrong type: such a
/// value is noted and left out, and the rest is read again.
pub fn parse_group(mut group: Value) -> ParsedGroup {
    let mut violations = Vec::new();
    if !group.get("spec").is_some_and(Value::is_object) {
        violations.push(Violation::required(
            Rule::Type,
            "spec",
            "a KconsumerGroup states what consumes and what it consumes",
        ));
        if let Some(fields) = group.as_object_mut() {
            fields.insert("spec".to_owned(), Value::Object(serde_json::Map::new()));
        }
    }
    // Status is the controller's, and no rule looks at it.
    if let Some(fields) = group.as_object_mut() {
        fields.remove("status");
    }
    let mut taken = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, KconsumerGroup>(&group) {
            Ok(group) => return ParsedGroup { group, violations },
            Err(error) => error,
        };
        let field = as_written(error.path(), &taken);
        let sentence = error.inner().to_string();
        let value = take(&mut group, error.path(), &mut taken).filter(|_| violations.len() < MAX_TYPE_ERRORS);
        let Some(value) = value else {
            violations.push(Violation::new(Rule::Type, ErrorType::Invalid, field, sentence));
            return ParsedGroup { group: KconsumerGroup::default(), violations };
        };
        violations.push(Violation {
            value: Some(value),
            ..Violation::new(Rule::Type, ErrorType::TypeInvalid, field, sentence)
        });
    }
}

/// As many wrong types as one answer lists; each costs another reading.
const MAX_TYPE_ERRORS: usize = 20;

/// An item that was taken out of a list: the list's path and the item's index, both as the person wrote them.
type TakenItem = (String, usize);

/// Removes what stands at `path`, or at the nearest place above it that can be removed.
fn take(group: &mut Value, path: &Path, taken: &mut Vec<TakenItem>) -> Option<Value> {
    let mut segments: Vec<_> = path.iter().collect();
    while let Some(last) = segments.pop() {
        let parent = segments.iter().try_fold(&mut *group, |value, segment| match segment {
            Segment::Map { key } => value.get_mut(key),
            Segment::Seq { index } => value.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        match (parent, last) {
            (Some(Value::Object(fields)), Segment::Map { key }) => {
                if let Some(value) = fields.remove(key) {
                    return Some(value);
                }
            }
            (Some(Value::Array(items)), Segment::Seq { index }) if *index < items.len() => {
                let list = written(segments.iter().copied(), taken);
                let original = written_index(&list, *index, taken);
                taken.push((list, original));
                return Some(items.remove(*index));
            }
            _ => {}
        }
    }
    None
}

/// A path into what is left, as a path into what the person wrote.
fn as_written(path: &Path, taken: &[TakenItem]) -> String {
    written(path.iter(), taken)
}

fn written<'a>(segments: impl Iterator<Item = &'a Segment>, taken: &[TakenItem]) -> String {
    let mut field = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => {
                let index = written_index(&field, *index, taken);
                field.extend(["[", &index.to_string(), "]"]);
            }
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(name);
            }
            Segment::Unknown => {}
        }
    }
    field
}

/// Each item taken from before it has moved an item of the list one place to the front.
fn written_index(list: &str, index: usize, taken: &[TakenItem]) -> usize {
    let mut before: Vec<usize> =
        taken.iter().filter(|(path, _)| path == list).map(|(_, index)| *index).collect();
    before.sort_unstable();
    before.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn group(spec: &Value) -> Value {
        json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "kconsumer", "namespace": "default"}, "spec": spec})
    }

    fn sample() -> Value {
        group(&json!({"minReplicas": 1, "averageRecordsLagLimit": 1000,
            "consumerSpec": {"containerName": "kconsumer", "image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}}))
    }

    #[test]
    fn the_original_s_sample_is_valid_and_its_defaults_are_derived() {
        let written = parse_group(sample());
        assert_eq!(written.violations, []);
        let valid = ValidGroup::read(&written.group, &TopicGrants::Own).expect("the sample is valid");
        assert_eq!(valid.consumer.group_id, "kconsumer");
        assert_eq!(valid.metrics.port, 8085);
        assert_eq!(valid.metrics.path, "/actuator/prometheus");
        assert_eq!(valid.metrics.lag_metric, "kafka_consumer_fetch_manager_records_lag_max");
        assert_eq!(valid.alerts, AlertsSpec::default());
        assert_eq!(valid.consumer.topics[0].to_string(), "default/fast-data-topic");
    }

    #[test]
    fn a_topic_named_twice_counts_once() {
        let spec: KconsumerGroupSpec = serde_json::from_value(
            json!({"consumerSpec": {"topic": "b", "topics": ["a", "b", "c"], "topicNamespace": "kafka"}}),
        )
        .unwrap();
        let names: Vec<String> = topics(&spec, "default").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["kafka/b", "kafka/a", "kafka/c"]);
    }

    #[test]
    fn every_value_of_a_wrong_type_is_named_and_the_rest_is_still_read() {
        let written = parse_group(group(&json!({"minReplicas": "two", "paused": 3,
            "consumerSpec": {"image": 7, "topic": "t", "topics": ["a", 5, "b", 6, 7], "env": [{"name": 1}, {"name": "A", "value": 2}]},
            "metrics": [], "scaling": "fast"})));
        let fields: Vec<&str> = written.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields.len(), 10, "{:?}", written.violations);
        for field in [
            "spec.minReplicas",
            "spec.paused",
            "spec.consumerSpec.image",
            "spec.consumerSpec.topics[1]",
            "spec.consumerSpec.topics[3]",
            "spec.consumerSpec.topics[4]",
            "spec.consumerSpec.env[0].name",
            "spec.consumerSpec.env[1].value",
            "spec.metrics",
            "spec.scaling",
        ] {
            assert!(fields.contains(&field), "{field} in {fields:?}");
        }
        assert_eq!(written.group.spec.consumer_spec.topic.as_deref(), Some("t"));
        assert_eq!(written.group.spec.consumer_spec.topics, ["a", "b"]);
    }

    #[test]
    fn a_group_without_a_spec_says_so() {
        for spec in [json!(null), json!([]), json!("x")] {
            assert_eq!(parse_group(group(&spec)).violations[0].to_string().split(':').next(), Some("spec"));
        }
    }

    #[test]
    fn grants_name_namespaces_or_all() {
        let named = TopicGrants::from_flag(&["kafka".to_owned()]);
        assert!(named.allow("a", "a") && named.allow("a", "kafka") && !named.allow("a", "b"));
        assert!(TopicGrants::from_flag(&["*".to_owned()]).allow("a", "b"));
        assert!(!TopicGrants::from_flag(&[]).allow("a", "b"));
    }
}
