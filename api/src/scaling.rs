//! spec.scaling: how a group scales and rolls out.

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::defaults;

/// How the group scales and rolls out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingSpec {
    /// Behavior of the HorizontalPodAutoscaler. By default it scales up in one step, and down by at
    /// most half in 300 seconds with a stabilization window of 300 seconds, because each step
    /// causes a rebalance. An empty behavior leaves the choice to Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// Metrics of the HorizontalPodAutoscaler besides the lag, for example the CPU, as in
    /// autoscaling/v2. It runs as many consumers as the metric that asks for most, at most as many as
    /// the partitions keep busy, and removes consumers only while it can read all of the metrics. The
    /// utilization of a resource needs a request for it in every container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricSpec>,
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

impl Default for ScalingSpec {
    fn default() -> Self {
        Self {
            behavior: None,
            metrics: Vec::new(),
            strategy: None,
            min_ready_seconds: defaults::MIN_READY_SECONDS,
            partitions: PartitionPolicy::default(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_metric_s_target_may_be_written_as_a_number() {
        let metrics = json!([{"type": "Pods", "pods": {"metric": {"name": "rate"}, "target": {"type": "AverageValue", "averageValue": 0.5}}}]);
        let scaling: ScalingSpec = serde_json::from_value(json!({"metrics": metrics})).unwrap();
        let target = &scaling.metrics[0].pods.as_ref().unwrap().target;
        assert_eq!(target.average_value.as_ref().map(|value| value.0.as_str()), Some("0.5"));
    }

    #[test]
    fn a_wrong_type_in_a_metric_is_reported_with_its_place() {
        let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": "70"}}}]);
        let error =
            serde_path_to_error::deserialize::<_, ScalingSpec>(json!({"metrics": metrics})).unwrap_err();
        assert_eq!(error.path().to_string(), "metrics[0].resource.target.averageUtilization");
    }
}
