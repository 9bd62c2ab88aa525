//! The resource as users write it. The doc comments are the descriptions in the
//! CRD.
//!
//! A field is an `Option` if its default depends on the group's name, its preset or another field,
//! which a schema cannot express; [`crate::ValidGroup`] fills in those defaults.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::alerts::AlertsSpec;
use crate::defaults;
use crate::inherited_metadata::InheritedMetadata;
pub use crate::inherited_metadata::Labels;
pub use crate::metrics::MetricsSpec;
pub use crate::scaling::{PartitionPolicy, ScalingSpec};
use crate::status::KconsumerGroupStatus;
use crate::strict_object;

// clippy takes the arguments of several printcolumns for duplicates.
#[allow(clippy::duplicated_attributes)]
/// The consumer group that should run.
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
    doc = "A Kafka consumer group: a Deployment that scales by record lag, and never beyond the partitions of its topics.",
    printcolumn(
        name = "Min",
        type_ = "integer",
        json_path = ".spec.minReplicas",
        description = "Minimum number of consumers"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".status.maxReplicas",
        description = "Ceiling in force: the number of consumers that the partitions keep busy, capped by spec.maxReplicas"
    ),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions",
        description = "Number of partitions that counts for the ceiling"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Number of consumer pods"
    ),
    printcolumn(
        name = "Available",
        type_ = "integer",
        json_path = ".status.availableReplicas",
        description = "Number of available consumer pods"
    ),
    printcolumn(
        name = "Lag",
        type_ = "string",
        json_path = ".status.lag.summary",
        description = "Lag and its limit in records, averaged over the pods"
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
    /// Minimum number of consumers. Must not be above maxReplicas, nor above the number of
    /// consumers that the partitions of the topics keep busy.
    pub min_replicas: i32,
    /// Maximum number of consumers, to cap the cost. If not set, only the number of partitions
    /// limits the consumers. While no partition count is known, as without Strimzi, it is the
    /// ceiling; if it is not set either, minReplicas is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// Lag limit in records: how many records may wait for a consumer, averaged over the pods. The
    /// HorizontalPodAutoscaler's target: it wants as many consumers as the whole lag divided by
    /// this, rounded up, and leaves them as they are within its tolerance: 10 % of the limit, or
    /// scaling.behavior.scaleUp.tolerance. The alerts fire above the tolerance.
    /// spec.metrics.lagStatistic defines the lag of a pod with several partitions. A record waits
    /// until a poll returns it to the consumer.
    pub average_records_lag_limit: i64,
    /// If true, the operator stops changing the owned resources and only writes status. An existing
    /// HorizontalPodAutoscaler continues to scale.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The consumer and the topics that it consumes.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub consumer_spec: ConsumerSpec,
    /// Where the consumers expose their metrics, and which metric is the lag.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub metrics: MetricsSpec,
    /// The group's alerts.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub alerts: AlertsSpec,
    /// How the group scales and rolls out.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub scaling: ScalingSpec,
    /// Labels and annotations of all owned resources, for example those that a policy requires. Those
    /// of the pods are in consumerSpec.podTemplate.
    #[serde(
        skip_serializing_if = "InheritedMetadata::is_empty",
        deserialize_with = "strict_object::deserialize"
    )]
    pub inherited_metadata: InheritedMetadata,
}

impl Default for KconsumerGroupSpec {
    fn default() -> Self {
        Self {
            min_replicas: defaults::MIN_REPLICAS,
            max_replicas: None,
            average_records_lag_limit: defaults::AVERAGE_RECORDS_LAG_LIMIT,
            paused: false,
            consumer_spec: ConsumerSpec::default(),
            metrics: MetricsSpec::default(),
            alerts: AlertsSpec::default(),
            scaling: ScalingSpec::default(),
            inherited_metadata: InheritedMetadata::default(),
        }
    }
}

/// The consumer and the topics that it consumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerSpec {
    /// Container image of the consumer.
    pub image: String,
    /// Name of the consumer's container. Defaults to the group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Name of a KafkaTopic resource to consume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Names of further KafkaTopic resources to consume. At least one KafkaTopic must be named in
    /// topic or topics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Namespace of the KafkaTopics. Defaults to the group's namespace. Another namespace must be
    /// allowed by the operator's flag --topic-namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_namespace: Option<String>,
    /// Kafka's id of the consumer group, passed to the container as KAFKA_GROUP_ID. Defaults to the
    /// group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Kafka's bootstrap servers, passed to the container as KAFKA_BOOTSTRAP_SERVERS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// How many partitions one consumer processes in parallel, for example its number of threads.
    /// The ceiling is the number of partitions divided by this, rounded up.
    pub partitions_per_consumer: i32,
    /// Environment variables of the container, as in a Pod. One that the operator sets, too, replaces
    /// the operator's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Sources of environment variables, as in a Pod. The operator's KAFKA_TOPICS and KAFKA_GROUP_ID
    /// take precedence over theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,
    /// Compute resources of the container, as in a Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// When the image is pulled, as in a Pod: Always, IfNotPresent or Never. Defaults to Always if
    /// the image's tag is latest or missing, and to IfNotPresent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Readiness probe of the container: an HTTP path on the metrics port; Preset for the path of the
    /// preset (Spring's is taken from metrics.path: .../prometheus becomes .../health/readiness); or
    /// None. By default a group that sets metrics.preset has the preset's probe, unless podTemplate
    /// has a probe; a preset that the installation sets counts as one of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// Secrets for pulling the image, as in a Pod. Without any, the installation's default applies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// A PodTemplateSpec ({metadata, spec}) that is merged into the operator's pod template as by
    /// kubectl's strategic merge: labels, annotations, serviceAccountName, affinity, tolerations,
    /// volumes, probes, sidecars. The container with the name containerName is the consumer. null
    /// removes a field of the operator's template; kubectl apply sends a null only with
    /// --server-side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<serde_json::Value>,
}

impl Default for ConsumerSpec {
    fn default() -> Self {
        Self {
            image: String::new(),
            container_name: None,
            topic: None,
            topics: Vec::new(),
            topic_namespace: None,
            group_id: None,
            bootstrap_servers: None,
            partitions_per_consumer: defaults::PARTITIONS_PER_CONSUMER,
            env: Vec::new(),
            env_from: Vec::new(),
            resources: None,
            image_pull_policy: None,
            readiness: None,
            image_pull_secrets: Vec::new(),
            pod_template: None,
        }
    }
}
