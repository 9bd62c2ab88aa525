//! The HorizontalPodAutoscaler: its bounds are the minimum and the ceiling, and it stores the held
//! partitions.

use std::iter;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head};
use crate::ceiling::Ceiling;
use crate::lag::LagSource;

pub(super) fn build(group: &ValidGroup, ceiling: &Ceiling) -> Value {
    let mut autoscaler = head(ChildKind::HorizontalPodAutoscaler, group);
    autoscaler["metadata"]["annotations"][names::ANNOTATION_HELD] = json!(ceiling.held().annotation());
    autoscaler["spec"] = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": group.name},
        "minReplicas": ceiling.min,
        "maxReplicas": ceiling.max,
        "metrics": metrics(group),
    });
    if let Some(behavior) = behavior(group) {
        autoscaler["spec"]["behavior"] = behavior;
    }
    autoscaler
}

/// The lag, then the user's metrics.
fn metrics(group: &ValidGroup) -> Vec<Value> {
    let others = group.scaling.metrics.iter().map(|metric| json!(metric));
    iter::once(LagSource::OURS.metric(group)).chain(others).collect()
}

/// That of the group, else one for consumers. An empty one is left out: the API server replaces it by its
/// defaults in a creation and removes it in an apply.
fn behavior(group: &ValidGroup) -> Option<Value> {
    match &group.scaling.behavior {
        None => Some(consumer_behavior()),
        Some(empty) if *empty == HorizontalPodAutoscalerBehavior::default() => None,
        Some(behavior) => Some(json!(behavior)),
    }
}

/// Up in one step, because all consumers together work off a backlog fastest. Down by half after
/// five minutes without a higher recommendation, because each step causes a rebalance.
fn consumer_behavior() -> Value {
    json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 10_000, "periodSeconds": 15}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 300}],
        },
    })
}
