//! The lag's way from a consumer's metrics to its autoscaler: one decision in one place. Floor 1. What the
//! HorizontalPodAutoscaler asks for, what is read off it, and what an adapter has to serve all follow from it.

use kcg_api::ValidGroup;
use kcg_api::preset::Preset;
use serde_json::{Value, json};

use crate::quantity;

/// Where an autoscaler reads the lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagSource {
    /// A Pods metric of the custom metrics API, averaged over the pods.
    PodsMetric,
}

impl LagSource {
    /// That of every group.
    pub const OURS: Self = Self::PodsMetric;

    /// The metric's type in autoscaling/v2.
    const fn kind(self) -> &'static str {
        match self {
            Self::PodsMetric => "Pods",
        }
    }

    /// The one entry of the HorizontalPodAutoscaler's spec.metrics.
    pub fn metric(self, group: &ValidGroup) -> Value {
        match self {
            Self::PodsMetric => json!({
                "type": self.kind(),
                "pods": {
                    "metric": {"name": group.metrics.lag_metric},
                    "target": {"type": "AverageValue", "averageValue": quantity::canonical(group.lag_limit)},
                },
            }),
        }
    }

    /// The name of the metric that a HorizontalPodAutoscaler of ours asks for.
    pub fn name_in(self, autoscaler: &Value) -> Option<&str> {
        match self {
            Self::PodsMetric => autoscaler.pointer("/spec/metrics/0/pods/metric/name")?.as_str(),
        }
    }

    /// The average that a HorizontalPodAutoscaler's status shows, as a Kubernetes quantity.
    pub fn average_in(self, status: &Value) -> Option<&str> {
        let metrics = status["currentMetrics"].as_array()?;
        let ours = metrics.iter().find(|metric| metric["type"] == self.kind())?;
        match self {
            Self::PodsMetric => ours["pods"]["current"]["averageValue"].as_str(),
        }
    }

    /// The reason by which ScalingActive says that the metric could not be read.
    pub const fn unread(self) -> &'static str {
        match self {
            Self::PodsMetric => "FailedGetPodsMetric",
        }
    }
}

/// prometheus-adapter's configuration: each preset's lag as a Pods metric, of each pod's series the worst. The
/// comparison keeps NaN out, which idle clients report and the adapter would take for zero.
pub fn adapter_rules() -> Value {
    json!({"rules": Preset::ALL.map(|preset| rule(preset.endpoint().lag_metric))})
}

fn rule(metric: &str) -> Value {
    json!({
        "seriesQuery": format!(r#"{metric}{{namespace!="",pod!=""}}"#),
        "resources": {"overrides": {
            "namespace": {"resource": "namespace"},
            "pod": {"resource": "pod"},
        }},
        "metricsQuery": "max(<<.Series>>{<<.LabelMatchers>>} >= 0) by (<<.GroupBy>>)",
    })
}
