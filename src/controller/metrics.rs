//! What the controller counts and measures. A group's own series are read from the state when asked for, so
//! that they go when it goes.

use kcg_api::condition::{Reason, Type};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;
use super::reconcile::Outcome;
use crate::cluster::{Cluster, ConditionStatus};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The counters of the reconciles.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<OutcomeLabel, Counter>,
    duration: Histogram,
}

impl Metrics {
    /// All of the controller's metrics in the registry.
    pub fn register(registry: &mut Registry, cluster: Arc<Cluster>, queue: Arc<Queue>) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            // 1 ms to half a minute, which is the deadline.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
        };
        registry.register("reconciles", "Looks at a group, by how they ended", metrics.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Time that a look at a group took",
            metrics.duration.clone(),
        );
        registry.register_collector(Box::new(Seen { cluster, queue }));
        metrics
    }

    pub fn note(&self, outcome: Outcome, took: Duration) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// What is read when it is asked for.
#[derive(Debug)]
struct Seen {
    cluster: Arc<Cluster>,
    queue: Arc<Queue>,
}

/// One group's own figures.
struct Figures {
    namespace: String,
    name: String,
    partitions: Option<i32>,
    ceiling: Option<i32>,
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut figures = Vec::new();
        let mut conditions: BTreeMap<(Type, ConditionStatus, Reason), i64> = BTreeMap::new();
        self.cluster.for_each_summary(|key, summary| {
            figures.push(Figures {
                namespace: key.namespace().to_owned(),
                name: key.name().to_owned(),
                partitions: summary.partitions,
                ceiling: summary.max_replicas,
            });
            for condition in &summary.conditions {
                *conditions.entry(*condition).or_default() += 1;
            }
        });
        let depth = ConstGauge::new(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        depth.encode(encoder.encode_descriptor(
            "queue_depth",
            "Groups that wait for a worker",
            None,
            MetricType::Gauge,
        )?)?;
        encode_conditions(&mut encoder, &conditions)?;
        let partitions = "Partitions that count for the group";
        encode_figures(&mut encoder, "group_partitions", partitions, &figures, |group| group.partitions)?;
        let ceiling = "The most consumers of the group that its partitions keep busy, under the cap";
        encode_figures(&mut encoder, "group_ceiling", ceiling, &figures, |group| group.ceiling)
    }
}

fn encode_conditions(
    encoder: &mut DescriptorEncoder,
    conditions: &BTreeMap<(Type, ConditionStatus, Reason), i64>,
) -> fmt::Result {
    let help = "Groups by the type, status and reason of their conditions";
    let mut family = encoder.encode_descriptor("groups", help, None, MetricType::Gauge)?;
    for ((type_, status, reason), count) in conditions {
        let labels = [("type", type_.as_str()), ("status", status.as_str()), ("reason", reason.as_str())];
        ConstGauge::new(*count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_figures(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    figures: &[Figures],
    value: impl Fn(&Figures) -> Option<i32>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for group in figures {
        if let Some(value) = value(group) {
            let labels = [("namespace", group.namespace.as_str()), ("name", group.name.as_str())];
            ConstGauge::new(i64::from(value)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
