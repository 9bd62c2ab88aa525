//! Parsing and validation of a group. A [`ValidGroup`] has passed every static rule and has every
//! default filled in. The webhook and `validate` apply all rules; the controller applies those that
//! a stored group must keep, too.

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::group::{AlertsSpec, KconsumerGroup, KconsumerGroupSpec, Labels, PartitionPolicy};
use crate::overlay::Overlay;
use crate::preset::{LagStatistic, Preset};
use crate::rule_input::RuleInput;
pub use crate::rule_input::TopicGrants;
use crate::rules;
use crate::topic::{self, TopicRef};
use crate::violation::{ErrorType, Rule, Violation};

/// A group that keeps every static rule.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidGroup {
    /// metadata.name.
    pub name: String,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.uid; empty for a group that is not stored (`render`).
    pub uid: String,
    /// metadata.generation; 0 for a group that is not stored.
    pub generation: i64,
    /// The fewest consumers.
    pub min_replicas: i32,
    /// spec.maxReplicas: the user's cap on the number of consumers.
    pub cap: Option<i32>,
    /// In records: the lag of a pod, averaged over the pods.
    pub lag_limit: i64,
    /// Whether the operator must leave the owned resources unchanged.
    pub paused: bool,
    /// The consumer and its topics.
    pub consumer: Consumer,
    /// Where Prometheus scrapes the lag.
    pub metrics: MetricsEndpoint,
    /// The group's alerts.
    pub alerts: AlertsSpec,
    /// How the group scales and rolls out.
    pub scaling: Scaling,
}

/// The consumer and its topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    /// The image of the container.
    pub image: String,
    /// The name of the container.
    pub container_name: String,
    /// At least one, distinct, in the order of the spec.
    pub topics: Vec<TopicRef>,
    /// The consumer group's id in Kafka.
    pub group_id: String,
    /// Kafka's bootstrap servers.
    pub bootstrap_servers: Option<String>,
    /// How many partitions one consumer works on at a time; at least 1.
    pub partitions_per_consumer: i32,
    /// The container's environment variables.
    pub env: Vec<EnvVar>,
    /// The container's sources of environment variables.
    pub env_from: Vec<EnvFromSource>,
    /// The container's compute resources.
    pub resources: Option<ResourceRequirements>,
    /// When the image is pulled; `None` is the API server's default.
    pub image_pull_policy: Option<String>,
    /// The Secrets to pull the image with.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The user's overlay of the pod template.
    pub overlay: Option<Overlay>,
}

/// Where Prometheus scrapes the lag. The preset fills in what the spec leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsEndpoint {
    /// TCP port of the container.
    pub port: i32,
    /// HTTP path.
    pub path: String,
    /// How often Prometheus scrapes, as a Prometheus duration.
    pub interval: String,
    /// What the clients call their metrics.
    pub preset: Preset,
    /// How the lags of a pod's partitions become the pod's; `None` for a lagMetric of the user's.
    pub statistic: Option<LagStatistic>,
    /// The metric that the autoscaler reads: the group's own, or the preset's former one.
    pub lag_metric: String,
    /// Labels of the ServiceMonitor.
    pub labels: Labels,
}

/// How the group scales and rolls out; `None` stands for the operator's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// The HorizontalPodAutoscaler's behavior.
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// The Deployment's strategy.
    pub strategy: Option<DeploymentStrategy>,
    /// For how long a new pod must be ready before it counts as available.
    pub min_ready_seconds: i32,
    /// How the partitions of several topics count together.
    pub policy: PartitionPolicy,
}

impl ValidGroup {
    /// Validates a parsed group that is new or changed and fills in every default, or returns every
    /// violation of a static rule.
    pub fn read(group: &KconsumerGroup, grants: &TopicGrants) -> Result<Self, Vec<Violation>> {
        Self::read_with(group, grants, |_| true)
    }

    /// Like [`Self::read`] for a stored group: leaves out the rules that apply only at admission.
    pub fn read_stored(group: &KconsumerGroup, grants: &TopicGrants) -> Result<Self, Vec<Violation>> {
        Self::read_with(group, grants, |rule| !rule.is_admission_only())
    }

    fn read_with(
        group: &KconsumerGroup,
        grants: &TopicGrants,
        applies: impl Fn(Rule) -> bool,
    ) -> Result<Self, Vec<Violation>> {
        let metadata = &group.metadata;
        let name = metadata.name.as_deref().filter(|name| !name.is_empty());
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let spec = &group.spec;
        let input = RuleInput::new(name, namespace, spec, grants);
        let mut violations = rules::check(&input);
        violations.retain(|violation| applies(violation.rule));
        if !violations.is_empty() {
            return Err(violations);
        }
        let overlay = input.overlay.map(|overlay| overlay.expect("invariant: a rule checks the overlay"));
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
            consumer: Consumer::derive(spec, name.unwrap_or_default(), namespace, overlay),
            metrics: MetricsEndpoint {
                port: spec.metrics.port.unwrap_or(endpoint.port),
                path: spec.metrics.path.clone().unwrap_or_else(|| endpoint.path.to_owned()),
                interval: spec.metrics.interval.clone(),
                preset: spec.metrics.preset,
                statistic: spec.metrics.statistic(),
                lag_metric: spec.metrics.custom_metric(),
                labels: spec.metrics.labels.clone(),
            },
            alerts: spec.alerts.clone(),
            scaling: Scaling {
                behavior: spec.scaling.behavior.clone(),
                strategy: spec.scaling.strategy.clone(),
                min_ready_seconds: spec.scaling.min_ready_seconds,
                policy: spec.scaling.partitions,
            },
        })
    }
}

impl Consumer {
    fn derive(spec: &KconsumerGroupSpec, name: &str, namespace: &str, overlay: Option<Overlay>) -> Self {
        let consumer = &spec.consumer_spec;
        Self {
            image: consumer.image.clone(),
            container_name: consumer.container_name.clone().unwrap_or_else(|| name.to_owned()),
            topics: topic::named_by(spec, namespace),
            group_id: consumer.group_id.clone().unwrap_or_else(|| name.to_owned()),
            bootstrap_servers: consumer.bootstrap_servers.clone(),
            partitions_per_consumer: consumer.partitions_per_consumer,
            env: consumer.env.clone(),
            env_from: consumer.env_from.clone(),
            resources: consumer.resources.clone(),
            image_pull_policy: consumer.image_pull_policy.clone(),
            image_pull_secrets: consumer.image_pull_secrets.clone(),
            overlay,
        }
    }
}

/// A group parsed from JSON that may have values of wrong types.
#[derive(Clone, Debug)]
pub struct ParsedGroup {
    /// The group without the values of wrong types.
    pub group: KconsumerGroup,
    /// One violation for each value of a wrong type.
    pub violations: Vec<Violation>,
}

/// Parses a group without giving up at the first value of a wrong type: records a violation,
/// removes the value and parses the rest again.
pub fn parse_group(mut group: Value) -> ParsedGroup {
    let mut violations = Vec::new();
    if !group.get("spec").is_some_and(Value::is_object) {
        violations.push(Violation::required(
            Rule::Type,
            "spec",
            "a KconsumerGroup needs a spec with a consumerSpec",
        ));
        if let Some(fields) = group.as_object_mut() {
            fields.insert("spec".to_owned(), Value::Object(serde_json::Map::new()));
        }
    }
    // Only the controller writes status, and no rule reads it.
    if let Some(fields) = group.as_object_mut() {
        fields.remove("status");
    }
    let mut removed = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, KconsumerGroup>(&group) {
            Ok(group) => return ParsedGroup { group, violations },
            Err(error) => error,
        };
        let field = source_path(error.path().iter(), &removed);
        let detail = error.inner().to_string();
        let value =
            remove(&mut group, error.path(), &mut removed).filter(|_| violations.len() < MAX_TYPE_ERRORS);
        let Some(value) = value else {
            violations.push(Violation::new(Rule::Type, ErrorType::Invalid, field, detail));
            return ParsedGroup { group: KconsumerGroup::default(), violations };
        };
        violations.push(Violation {
            value: Some(value),
            ..Violation::new(Rule::Type, ErrorType::TypeInvalid, field, detail)
        });
    }
}

/// The most wrong types that are reported; each costs another pass over the group.
const MAX_TYPE_ERRORS: usize = 20;

/// An item that was removed from a list: the list's path and the item's index, both in the user's
/// source.
type RemovedItem = (String, usize);

/// Removes the value at `path`, or the nearest parent that can be removed.
fn remove(group: &mut Value, path: &Path, removed: &mut Vec<RemovedItem>) -> Option<Value> {
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
                let list = source_path(segments.iter().copied(), removed);
                let original = source_index(&list, *index, removed);
                removed.push((list, original));
                return Some(items.remove(*index));
            }
            _ => {}
        }
    }
    None
}

/// Translates a path in the reduced group to the path in the user's source.
fn source_path<'a>(segments: impl Iterator<Item = &'a Segment>, removed: &[RemovedItem]) -> String {
    let mut field = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => {
                let index = source_index(&field, *index, removed);
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

/// Each item removed before `index` has shifted the items after it by one.
fn source_index(list: &str, index: usize, removed: &[RemovedItem]) -> usize {
    let mut removed: Vec<usize> =
        removed.iter().filter(|(path, _)| path == list).map(|(_, index)| *index).collect();
    removed.sort_unstable();
    removed.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
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
    fn the_original_operators_sample_is_valid_and_gets_its_defaults() {
        let parsed = parse_group(sample());
        assert_eq!(parsed.violations, []);
        let valid = ValidGroup::read(&parsed.group, &TopicGrants::Own).expect("the sample is valid");
        assert_eq!(valid.consumer.group_id, "kconsumer");
        assert_eq!(valid.metrics.port, 8085);
        assert_eq!(valid.metrics.path, "/actuator/prometheus");
        assert_eq!(valid.metrics.lag_metric, "kafka_consumer_fetch_manager_records_lag_pod_sum");
        assert_eq!(valid.alerts, AlertsSpec::default());
        assert_eq!(valid.consumer.topics[0].to_string(), "default/fast-data-topic");
    }

    #[test]
    fn every_value_of_a_wrong_type_is_reported_and_the_rest_is_still_parsed() {
        let parsed = parse_group(group(&json!({"minReplicas": "two", "paused": 3,
            "consumerSpec": {"image": 7, "topic": "t", "topics": ["a", 5, "b", 6, 7], "env": [{"name": 1}, {"name": "A", "value": 2}]},
            "metrics": [], "scaling": "fast"})));
        let fields: Vec<&str> = parsed.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields.len(), 10, "{:?}", parsed.violations);
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
        assert_eq!(parsed.group.spec.consumer_spec.topic.as_deref(), Some("t"));
        assert_eq!(parsed.group.spec.consumer_spec.topics, ["a", "b"]);
    }

    #[test]
    fn a_missing_spec_is_reported() {
        for spec in [json!(null), json!([]), json!("x")] {
            assert_eq!(parse_group(group(&spec)).violations[0].to_string().split(':').next(), Some("spec"));
        }
    }

    #[test]
    fn topic_grants_name_namespaces_or_all() {
        let named = TopicGrants::from_flag(&["kafka".to_owned()]);
        assert!(named.allow("a", "a") && named.allow("a", "kafka") && !named.allow("a", "b"));
        assert!(TopicGrants::from_flag(&["*".to_owned()]).allow("a", "b"));
        assert!(!TopicGrants::from_flag(&[]).allow("a", "b"));
    }
}
