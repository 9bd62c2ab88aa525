//! What the controller counts and measures. A group's own series are read from the state when asked for, so
//! that they go when it goes.

use kcg_api::condition::{ConditionType, Reason};
use kcg_runtime::watch::ObjectKey;
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
use crate::cluster::{Cluster, ConditionStatus, Group};

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

/// One group's own figures, in the order of [`FIGURES`].
struct Figures {
    namespace: String,
    name: String,
    values: [Option<f64>; FIGURES.len()],
}

/// Their metrics, and what each says.
const FIGURES: [(&str, &str); 6] = [
    ("group_partitions", "Partitions that count for the group"),
    ("group_ceiling", "The most consumers of the group that its partitions keep busy, under the cap"),
    ("group_replicas", "Consumers of the group that exist"),
    ("group_ready_replicas", "Consumers of the group that are ready"),
    ("group_lag_records", "The lag that the group's autoscaler last read, averaged over the pods"),
    ("group_lag_limit_records", "The lag that the group may have, averaged over the pods"),
];

impl Figures {
    // Records are counted in f64 by Prometheus itself.
    #[allow(clippy::cast_precision_loss)]
    fn of(key: &ObjectKey, group: &Group, lag_milli: Option<i64>) -> Self {
        let told = &group.summary;
        let values = [
            told.partitions.map(f64::from),
            told.max_replicas.map(f64::from),
            Some(f64::from(told.replicas)),
            Some(f64::from(told.ready_replicas)),
            lag_milli.map(|lag| lag as f64 / 1000.0),
            Some(group.lag_limit as f64),
        ];
        Self { namespace: key.namespace().to_owned(), name: key.name().to_owned(), values }
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut figures = Vec::new();
        let mut conditions: BTreeMap<(ConditionType, ConditionStatus, Reason), i64> = BTreeMap::new();
        self.cluster.for_each_group(|key, group, lag_milli| {
            figures.push(Figures::of(key, group, lag_milli));
            for condition in &group.summary.conditions {
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
        encode_figures(&mut encoder, &figures)
    }
}

fn encode_conditions(
    encoder: &mut DescriptorEncoder,
    conditions: &BTreeMap<(ConditionType, ConditionStatus, Reason), i64>,
) -> fmt::Result {
    let help = "Groups by the type, status and reason of their conditions";
    let mut family = encoder.encode_descriptor("groups", help, None, MetricType::Gauge)?;
    for ((type_, status, reason), count) in conditions {
        let labels = [("type", type_.as_str()), ("status", status.as_str()), ("reason", reason.as_str())];
        ConstGauge::new(*count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_figures(encoder: &mut DescriptorEncoder, groups: &[Figures]) -> fmt::Result {
    for (number, (name, help)) in FIGURES.iter().enumerate() {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for group in groups {
            if let Some(value) = group.values[number] {
                let labels = [("namespace", group.namespace.as_str()), ("name", group.name.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
