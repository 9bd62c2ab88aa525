//! The resource as a person writes it: spec, status, and the static defaults that its schema
//! carries. Floor 0.
//!
//! A field is an `Option` where leaving it out means something that the schema cannot say (it
//! depends on the group's name, its preset or another field); [`crate::ValidGroup`] derives those.

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

use crate::preset::Preset;
use crate::{overlay, strict_object};

/// Labels by key, in a stable order.
pub type Labels = BTreeMap<String, String>;

// Each printcolumn has a name, a type and a path of its own.
#[allow(clippy::duplicated_attributes)]
/// One Kafka consumer group: its image consumes its topics, no consumer may lag more than a limit,
/// never fewer than a minimum of them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "thenextapps.com",
    version = "v1alpha1",
    kind = "KconsumerGroup",
    plural = "kconsumergroups",
    singular = "kconsumergroup",
    shortname = "kcg",
    category = "all",
    namespaced,
    status = "KconsumerGroupStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Kafka consumer group: a Deployment that scales by its records' lag, never beyond its topics' partitions.",
    printcolumn(
        name = "Min",
        type_ = "integer",
        json_path = ".spec.minReplicas",
        description = "The fewest consumers"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".status.maxReplicas",
        description = "The ceiling in force: the most consumers that the partitions keep busy, under the cost cap"
    ),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions",
        description = "The partitions that count"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "The consumers that exist"
    ),
    printcolumn(
        name = "Available",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "The consumers that are ready"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.consumerSpec.topic", priority = 1),
    printcolumn(name = "Topics", type_ = "string", json_path = ".spec.consumerSpec.topics", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.consumerSpec.image", priority = 1)
)]
#[serde(rename_all = "camelCase", default)]
pub struct KconsumerGroupSpec {
    /// The fewest consumers that run. Not above maxReplicas, and not above what the topics'
    /// partitions keep busy.
    pub min_replicas: i32,
    /// A cost cap: the most consumers that run, however many partitions there are. Left out, the
    /// partitions alone set the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// The lag, in records, that the group may have: each pod's worst partition's lag, averaged over
    /// the pods. The HorizontalPodAutoscaler's target and the alert's threshold.
    pub average_records_lag_limit: i64,
    /// True: the operator leaves the children as they are and writes only status. The
    /// HorizontalPodAutoscaler that exists goes on scaling.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub consumer_spec: ConsumerSpec,
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub metrics: MetricsSpec,
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub alerts: AlertsSpec,
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub scaling: ScalingSpec,
}

/// What consumes, and what it consumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerSpec {
    /// The consumer's image.
    pub image: String,
    /// The name of the consumer's container. Left out, it is the group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The name of one KafkaTopic resource to consume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The names of further KafkaTopic resources to consume. At least one of topic and topics must
    /// name one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// The namespace of the KafkaTopics. Left out, it is the group's own; another one only where the
    /// operator was installed with a grant for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_namespace: Option<String>,
    /// The consumer group's id, handed to the container as KAFKA_GROUP_ID. Left out, it is the
    /// group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Kafka's bootstrap servers, handed to the container as KAFKA_BOOTSTRAP_SERVERS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// How many partitions one consumer works on at a time, for example its threads. The ceiling is
    /// the partitions divided by this, rounded up.
    pub partitions_per_consumer: i32,
    /// Environment variables of the container, as in a Pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Sources of environment variables, as in a Pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,
    /// The container's compute resources, as in a Pod.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "resources")]
    pub resources: Option<ResourceRequirements>,
    /// When the image is pulled, as in a Pod: Always, IfNotPresent or Never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets to pull the image with, as in a Pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// A PodTemplateSpec ({metadata, spec}) laid over the operator's own as kubectl's strategic merge
    /// does: labels, annotations, serviceAccountName, affinity, tolerations, volumes, probes,
    /// sidecars. The container named containerName is the consumer. null takes a field of the
    /// operator's own away; kubectl apply keeps a null only with
    /// --server-side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<serde_json::Value>,
}

/// Where the consumers show their metrics, and which one is the lag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsSpec {
    /// The kind of client: Spring (port 8085, path /actuator/prometheus, lag metric
    /// kafka_consumer_fetch_manager_records_lag_max), JmxExporter or Librdkafka. It sets what the
    /// fields below leave out.
    pub preset: Preset,
    /// TCP port of the container that serves the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// HTTP path of the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often Prometheus scrapes, as a Prometheus duration.
    pub interval: String,
    /// The Prometheus metric that is the lag in records of a partition or a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_metric: Option<String>,
    /// Labels on the ServiceMonitor, for instance the `release` that a Prometheus selects by.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// The group's alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertsSpec {
    /// False: no PrometheusRule.
    pub enabled: bool,
    /// How long an alert's expression holds before it fires, as a Prometheus duration.
    #[serde(rename = "for")]
    pub hold: String,
    /// The alerts' severity label.
    pub severity: String,
    /// Further labels on each alert.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Labels on the PrometheusRule, which a Prometheus selects by.
    pub rule_labels: Labels,
}

/// How the group scales and rolls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingSpec {
    /// The HorizontalPodAutoscaler's behavior. Left out: up in one jump, down slowly and in few
    /// steps, since each step is a rebalance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// The Deployment's strategy. Left out: half as many pods more at a time (maxSurge 50%),
    /// since each batch is a rebalance, and none less (maxUnavailable 0), so that a bad image takes
    /// no consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<DeploymentStrategy>,
    /// How several topics' partitions count together.
    pub partitions: PartitionPolicy,
}

/// How several topics' partitions count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartitionPolicy {
    /// All topics' partitions together: the cooperative, sticky and round-robin assignors.
    #[default]
    Sum,
    /// The largest topic's: the range assignor, which leaves further consumers idle.
    Max,
}

/// What the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KconsumerGroupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The consumers that exist.
    pub replicas: i32,
    /// The consumers that are ready.
    pub ready_replicas: i32,
    /// The sorted names of the group's running pods, without those that are terminating.
    pub active_pods: Vec<String>,
    /// The outcome of the last reconciliation in one line.
    pub message: String,
    /// The partitions that count for the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// The ceiling in force: the HorizontalPodAutoscaler's maxReplicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// The topics as they count now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicStatus>,
    /// Why the group stands as it does: Ready, TopicsResolved, MetricsAvailable, MonitoringAccepted,
    /// PartitionBound and Paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One topic of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatus {
    /// The KafkaTopic's name.
    pub name: String,
    /// The KafkaTopic's namespace.
    pub namespace: String,
    /// The name in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// The partitions that count: the live ones, or the last good ones while those cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Kafka's id of the topic, as Strimzi reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
}

/// A person writes `cpu: 1` as readily as `cpu: "1"`.
fn resources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ResourceRequirements>, D::Error> {
    let Some(mut value) = Option::<serde_json::Value>::deserialize(deserializer)? else {
        return Ok(None);
    };
    overlay::quantities_as_text(&mut value);
    serde_json::from_value(value).map(Some).map_err(serde::de::Error::custom)
}
