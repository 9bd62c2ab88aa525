//! How the lag gets from a consumer's metrics to its autoscaler. What the HorizontalPodAutoscaler
//! queries, what is read from its status, and what a metrics adapter has to serve all follow from
//! this one decision.

use kcg_api::ValidGroup;
use kcg_api::preset::Preset;
use serde_json::{Value, json};

use crate::quantity;

/// The API that an autoscaler reads the lag from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagSource {
    /// A Pods metric of the custom metrics API, averaged over the pods.
    PodsMetric,
}

impl LagSource {
    /// The source of every group.
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

    /// The name of the metric that a group's HorizontalPodAutoscaler queries.
    pub fn name_in(self, autoscaler: &Value) -> Option<&str> {
        match self {
            Self::PodsMetric => autoscaler.pointer("/spec/metrics/0/pods/metric/name")?.as_str(),
        }
    }

    /// The average in a HorizontalPodAutoscaler's status, as a Kubernetes quantity.
    pub fn average_in(self, status: &Value) -> Option<&str> {
        let metrics = status["currentMetrics"].as_array()?;
        let ours = metrics.iter().find(|metric| metric["type"] == self.kind())?;
        match self {
            Self::PodsMetric => ours["pods"]["current"]["averageValue"].as_str(),
        }
    }

    /// The reason of condition ScalingActive if the metric could not be read.
    pub const fn unread(self) -> &'static str {
        match self {
            Self::PodsMetric => "FailedGetPodsMetric",
        }
    }
}

/// Why an autoscaler does or does not scale, from its condition ScalingActive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It reads the lag.
    Read,
    /// Another autoscaler scales the same pods.
    Contended,
    /// The custom metrics API is not registered.
    NotRegistered,
    /// The custom metrics API is registered, but does not respond or fails.
    NotAnswering,
    /// The autoscaler is not authorized to query it.
    Forbidden,
    /// It does not know the metric.
    NotKnown,
    /// It knows the metric, but for none of the group's pods.
    NotShown,
    /// There is no pod, or the pods that have the metric are starting or terminating.
    NoPods,
    /// Another cause.
    Other,
}

/// Parts of the message, and their causes; the first match counts. The messages are those of
/// Kubernetes (pkg/controller/podautoscaler), of its client of the custom metrics API, and of the
/// library that such an API is built with.
const WORDS: [(&str, Cause); 13] = [
    ("no custom metrics API", Cause::NotRegistered),
    ("no known available metric versions", Cause::NotRegistered),
    ("could not find the requested resource", Cause::NotRegistered),
    ("could not find the metric", Cause::NotKnown),
    ("no metrics returned from custom metrics API", Cause::NotShown),
    ("did not receive metrics for targeted pods", Cause::NoPods),
    ("no pods returned by selector", Cause::NoPods),
    (r#"custom.metrics.k8s.io "*" is forbidden"#, Cause::Forbidden),
    ("unable to handle the request", Cause::NotAnswering),
    ("Internal error occurred", Cause::NotAnswering),
    ("an error on the server", Cause::NotAnswering),
    ("connection refused", Cause::NotAnswering),
    ("deadline exceeded", Cause::NotAnswering),
];

impl Cause {
    /// Reads the condition.
    pub fn of(active: bool, reason: &str, message: &str) -> Self {
        match reason {
            _ if active => Self::Read,
            "AmbiguousSelector" => Self::Contended,
            reason if reason == LagSource::OURS.unread() => {
                let found = WORDS.iter().find(|(words, _)| message.contains(words));
                found.map_or(Self::Other, |(_, cause)| *cause)
            }
            _ => Self::Other,
        }
    }
}

/// Whether a group is at its ceiling and still behind. `lag_limit` is in records.
pub fn is_bound(current_replicas: i32, max: i32, lag_milli: i64, lag_limit: i64) -> bool {
    current_replicas >= max && lag_milli > lag_limit.saturating_mul(1000)
}

/// prometheus-adapter's configuration: each preset's lag as a Pods metric, the maximum of each
/// pod's series. The comparison drops NaN, which idle clients report and the adapter would take for
/// zero.
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
