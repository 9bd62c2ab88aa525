//! Validation of a group. A [`ValidGroup`] has passed every static rule and has every
//! default filled in. The webhook and `validate` apply all rules; the controller applies those that
//! a stored group must keep, too.

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec};
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements};
use k8s_openapi::jiff::Timestamp;

pub use crate::alerts::Alerts;
use crate::consumer_group;
use crate::duration;
use crate::group::{KconsumerGroup, KconsumerGroupSpec, PartitionPolicy};
use crate::group_defaults::{GroupDefaults, TemplateDefaults};
use crate::inherited_metadata::InheritedMetadata;
use crate::metrics::MetricsEndpoint;
use crate::overlay::Overlay;
pub use crate::parse::{ParsedGroup, drop_followup_errors, parse_group};
use crate::readiness::Readiness;
use crate::rule_input::RuleInput;
pub use crate::rule_input::TopicGrants;
use crate::rules;
use crate::scrape_limits::{MIN_INTERVAL, ScrapeLimits};
use crate::topic::{self, TopicRef};
use crate::violation::{Rule, Violation};

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
    /// metadata.creationTimestamp; `None` for a group that is not stored.
    pub created: Option<Timestamp>,
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
    pub alerts: Alerts,
    /// How the group scales and rolls out.
    pub scaling: Scaling,
    /// Of a stored group: the rules for admission that it breaks. It runs all the same.
    pub tolerated: Vec<Violation>,
    /// Labels and annotations of all owned resources.
    pub inherited: InheritedMetadata,
    /// The fields of the pod template that an installation can set.
    pub template: TemplateFields,
    /// The same fields without the installation's defaults.
    pub own_template: TemplateFields,
    /// The installation's defaults that `template` is made with.
    pub template_defaults: TemplateDefaults,
}

/// The fields of the pod template that an installation can set, directly or by a preset.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateFields {
    /// The port of the metrics.
    pub port: i32,
    /// The readiness probe.
    pub readiness: Option<Readiness>,
    /// The Secrets to pull the image with.
    pub image_pull_secrets: Vec<LocalObjectReference>,
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
    /// The consumer group that the pods join, by env or group_id; `None` if only the pods know it.
    pub joined_group_id: Option<String>,
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
    /// The user's overlay of the pod template.
    pub overlay: Option<Overlay>,
}

impl TemplateFields {
    fn derive(spec: &KconsumerGroupSpec) -> Self {
        Self {
            port: spec.metrics.port(),
            readiness: Readiness::derive(spec),
            image_pull_secrets: spec.consumer_spec.image_pull_secrets.clone(),
        }
    }
}

/// How the group scales and rolls out; `None` stands for the operator's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// The HorizontalPodAutoscaler's behavior.
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// Its metrics besides the lag.
    pub metrics: Vec<MetricSpec>,
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
    pub fn read(
        group: &KconsumerGroup,
        grants: &TopicGrants,
        defaults: &GroupDefaults,
    ) -> Result<Self, Vec<Violation>> {
        Self::read_with(group, grants, defaults, |_| false)
    }

    /// Like [`Self::read`] for a stored group: tolerates the violations of rules that apply only at
    /// admission.
    pub fn read_stored(
        group: &KconsumerGroup,
        grants: &TopicGrants,
        defaults: &GroupDefaults,
    ) -> Result<Self, Vec<Violation>> {
        Self::read_with(group, grants, defaults, Rule::is_admission_only)
    }

    fn read_with(
        group: &KconsumerGroup,
        grants: &TopicGrants,
        defaults: &GroupDefaults,
        tolerates: impl Fn(Rule) -> bool,
    ) -> Result<Self, Vec<Violation>> {
        let metadata = &group.metadata;
        let name = metadata.name.as_deref().filter(|name| !name.is_empty());
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let spec = &*defaults.fill_in(&group.spec);
        let input = RuleInput::new(name, namespace, spec, grants).within(defaults);
        let (tolerated, violations): (Vec<_>, Vec<_>) =
            rules::check(&input).into_iter().partition(|violation| tolerates(violation.rule));
        if !violations.is_empty() {
            return Err(violations);
        }
        let overlay =
            input.overlay.map(|parsed| parsed.overlay.expect("invariant: a rule checks the overlay"));
        Ok(Self {
            name: name.unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|created| created.0),
            min_replicas: spec.min_replicas,
            cap: spec.max_replicas,
            lag_limit: spec.average_records_lag_limit,
            paused: spec.paused,
            consumer: Consumer::derive(spec, name.unwrap_or_default(), namespace, overlay),
            metrics: MetricsEndpoint {
                port: spec.metrics.port(),
                path: spec.metrics.path().to_owned(),
                interval: duration::at_least(MIN_INTERVAL, spec.metrics.interval()).to_owned(),
                limits: spec.metrics.scrape_limits().or(ScrapeLimits::of_product()).at_most(defaults.most()),
                scrape: spec.metrics.endpoint.clone(),
                additional: spec.metrics.additional_endpoints.clone(),
                preset: spec.metrics.preset(),
                statistic: spec.metrics.statistic(),
                lag_metric: spec.metrics.custom_metric(),
                labels: spec.metrics.labels.clone(),
            },
            alerts: Alerts::derive(&spec.alerts),
            scaling: Scaling {
                behavior: spec.scaling.behavior.clone(),
                metrics: spec.scaling.metrics.clone(),
                strategy: spec.scaling.strategy.clone(),
                min_ready_seconds: spec.scaling.min_ready_seconds,
                policy: spec.scaling.partitions,
            },
            tolerated,
            inherited: spec.inherited_metadata.clone(),
            template: TemplateFields::derive(spec),
            own_template: TemplateFields::derive(&group.spec),
            template_defaults: defaults.template(),
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
            joined_group_id: consumer_group::group_id(spec, name).map(str::to_owned),
            bootstrap_servers: consumer.bootstrap_servers.clone(),
            partitions_per_consumer: consumer.partitions_per_consumer,
            env: consumer.env.clone(),
            env_from: consumer.env_from.clone(),
            resources: consumer.resources.clone(),
            image_pull_policy: consumer.image_pull_policy.clone(),
            overlay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
        let valid = ValidGroup::read(&parsed.group, &TopicGrants::Own, &GroupDefaults::default())
            .expect("the sample is valid");
        assert_eq!(valid.consumer.group_id, "kconsumer");
        assert_eq!(valid.metrics.port, 8085);
        assert_eq!(valid.metrics.path, "/actuator/prometheus");
        assert_eq!(valid.metrics.lag_metric, "kafka_consumer_fetch_manager_records_lag_pod_sum");
        assert_eq!(valid.metrics.interval, "5s");
        assert_eq!(valid.alerts.severity, "warning");
        assert_eq!(valid.alerts.rule_labels, crate::defaults::rule_labels());
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
    fn metadata_of_a_wrong_type_is_one_mistake() {
        for (metadata, want) in [
            (json!("x"), &["metadata: Invalid value: \"x\": must be of type object, not string"][..]),
            (json!({"name": 5}), &["metadata.name: Invalid value: 5: must be of type string, not integer"]),
            (json!(null), &[]),
        ] {
            let mut group = sample();
            group["metadata"] = metadata;
            let parsed = parse_group(group);
            let found: Vec<String> = parsed.violations.iter().map(ToString::to_string).collect();
            assert_eq!(found, want);
            assert_eq!(parsed.group.spec.consumer_spec.topic.as_deref(), Some("fast-data-topic"));
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
