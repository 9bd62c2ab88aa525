//! spec.scaling: how a group scales and rolls out.

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the group scales and rolls out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingSpec {
    /// Behavior of the HorizontalPodAutoscaler. By default it scales up in one step, and down by at
    /// most half in 300 seconds with a stabilization window of 300 seconds, because each step
    /// causes a rebalance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// Strategy of the Deployment. The default is a rolling update with maxSurge 50%, because each
    /// batch causes a rebalance, and maxUnavailable 0, so that a bad image stops no running
    /// consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<DeploymentStrategy>,
    /// For how many seconds a new pod must be ready before it counts as available, as in a
    /// Deployment. A rollout stops no old pod for a new one that fails within this time.
    pub min_ready_seconds: i32,
    /// How the partitions of several topics count together.
    pub partitions: PartitionPolicy,
}

/// How the partitions of several topics count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartitionPolicy {
    /// The sum over all topics, for the sticky and round-robin assignors.
    Sum,
    /// The partitions of the largest topic, for the range assignor, which leaves further consumers
    /// idle. It is the default assignor of the Java client and of librdkafka.
    #[default]
    Max,
}
