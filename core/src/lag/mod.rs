//! How the lag gets from a consumer's metrics to its autoscaler. What the HorizontalPodAutoscaler
//! queries, what is read from its status, and what a metrics adapter has to serve all follow from
//! this one decision.

mod adapter;
mod cause;
pub mod expression;
mod served;
mod tolerance;

use kcg_api::ValidGroup;
use serde_json::{Value, json};

use crate::quantity;

pub use adapter::{adapter_rules, adapter_values};
pub use cause::Cause;
pub use served::{ServedMetrics, metric_in_force};
pub use tolerance::Tolerance;

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

    /// The first entry of the HorizontalPodAutoscaler's spec.metrics.
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

    /// The names of the metrics of this type that a HorizontalPodAutoscaler queries. The lag is one
    /// of them, and only its group knows its name.
    pub fn names_in(self, autoscaler: &Value) -> impl Iterator<Item = &str> {
        metrics(&autoscaler["spec"]["metrics"]).filter_map(move |metric| self.name(metric))
    }

    /// The average of the metric of this name in a HorizontalPodAutoscaler's status, as a
    /// Kubernetes quantity.
    pub fn average_in<'a>(self, status: &'a Value, name: &str) -> Option<&'a str> {
        let ours = metrics(&status["currentMetrics"]).find(|metric| self.name(metric) == Some(name))?;
        match self {
            Self::PodsMetric => ours["pods"]["current"]["averageValue"].as_str(),
        }
    }

    /// The name of an entry of spec.metrics or status.currentMetrics; `None` if it is of another
    /// type.
    fn name(self, metric: &Value) -> Option<&str> {
        if metric["type"] != self.kind() {
            return None;
        }
        match self {
            Self::PodsMetric => metric["pods"]["metric"]["name"].as_str(),
        }
    }

    /// The reason of condition ScalingActive if the metric could not be read.
    pub const fn unread(self) -> &'static str {
        match self {
            Self::PodsMetric => "FailedGetPodsMetric",
        }
    }
}

/// The largest average of a lag that counts, in thousandths of a record: 10^12 records for each pod.
const MAX_MILLI: i64 = 1_000_000_000_000_000;

/// Whether an average, in thousandths of a record, can be a lag. A custom metrics API that serves
/// NaN or an infinite value turns it into the least or the largest number that it can write.
pub fn is_possible(lag_milli: i64) -> bool {
    (0..=MAX_MILLI).contains(&lag_milli)
}

/// Whether a HorizontalPodAutoscaler could not read one of its metrics at its last sync. Such a
/// metric has an empty type in its status.
pub fn has_unread_metric(status: &Value) -> bool {
    metrics(&status["currentMetrics"]).any(|metric| metric["type"] == "")
}

fn metrics(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_found_by_name_whatever_else_scales_the_group() {
        let pods = |name: &str, value: &str| json!({"type": "Pods", "pods": {"metric": {"name": name}, "current": {"averageValue": value}}});
        let cpu =
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}});
        let metrics = |metrics: &[Value]| json!({"currentMetrics": metrics, "spec": {"metrics": metrics}});
        let autoscaler = metrics(&[cpu.clone(), pods("lag", "5"), pods("rate", "3")]);
        assert_eq!(LagSource::OURS.names_in(&autoscaler).collect::<Vec<_>>(), ["lag", "rate"]);
        let status = metrics(&[pods("rate", "3"), cpu.clone(), pods("lag", "5")]);
        assert_eq!(LagSource::OURS.average_in(&status, "lag"), Some("5"));
        assert_eq!(LagSource::OURS.average_in(&status, "other"), None);
        assert_eq!(LagSource::OURS.names_in(&metrics(&[cpu])).count(), 0);
    }

    #[test]
    fn a_metric_that_could_not_be_read_has_an_empty_type_in_the_status() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "current": {}}});
        assert!(!has_unread_metric(&json!({"currentMetrics": [cpu]})));
        assert!(has_unread_metric(&json!({"currentMetrics": [{"type": ""}, cpu]})));
        assert!(!has_unread_metric(&json!({"currentMetrics": null})));
    }
}
