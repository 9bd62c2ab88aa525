//! The metrics of the controller. Those of a group are read from the cache at each scrape, so that
//! they end with the group.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kcg_api::condition::{ConditionType, Reason};
use kcg_core::status::ConditionStatus;
use kcg_runtime::watch::ObjectKey;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::reconcile::Outcome;
use super::workqueue::WorkQueue;
use crate::cluster::{CachedGroup, Cluster};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The metrics of the reconciles.
#[derive(Clone, Debug)]
pub(super) struct ControllerMetrics {
    reconciles: Family<OutcomeLabel, Counter>,
    duration: Histogram,
}

impl ControllerMetrics {
    /// Registers all metrics of the controller.
    pub(super) fn register(registry: &mut Registry, cluster: Arc<Cluster>, queue: Arc<WorkQueue>) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            // 1 ms to half a minute, which is the deadline.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
        };
        registry.register("reconciles", "Reconciliations by outcome", metrics.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Duration of reconciliations",
            metrics.duration.clone(),
        );
        registry.register_collector(Box::new(CacheCollector { cluster, queue }));
        metrics
    }

    pub(super) fn record(&self, outcome: Outcome, took: Duration) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// The metrics that are read at each scrape.
#[derive(Debug)]
struct CacheCollector {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue>,
}

/// The values of one group, in the order of [`GROUP_METRICS`].
struct GroupValues {
    namespace: String,
    name: String,
    values: [Option<f64>; GROUP_METRICS.len()],
}

/// Name and help of the metrics of a group.
const GROUP_METRICS: [(&str, &str); 6] = [
    ("group_partitions", "Partitions that the group's consumers share"),
    (
        "group_ceiling",
        "Maximum number of consumers: as many as the partitions keep busy, at most spec.maxReplicas",
    ),
    ("group_replicas", "Consumers of the group"),
    ("group_ready_replicas", "Ready consumers of the group"),
    ("group_lag_records", "Lag in records that the group's autoscaler last read, averaged over the pods"),
    ("group_lag_limit_records", "Maximum lag in records that the group may have, averaged over the pods"),
];

impl GroupValues {
    // Prometheus stores every value as f64.
    #[allow(clippy::cast_precision_loss)]
    fn of(key: &ObjectKey, group: &CachedGroup, lag_milli: Option<i64>) -> Self {
        let summary = &group.summary;
        let values = [
            summary.partitions.map(f64::from),
            summary.max_replicas.map(f64::from),
            Some(f64::from(summary.replicas)),
            Some(f64::from(summary.ready_replicas)),
            lag_milli.map(|lag| lag as f64 / 1000.0),
            Some(group.lag_limit as f64),
        ];
        Self { namespace: key.namespace().to_owned(), name: key.name().to_owned(), values }
    }
}

impl Collector for CacheCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut groups = Vec::new();
        let mut conditions: BTreeMap<(ConditionType, ConditionStatus, Reason), i64> = BTreeMap::new();
        self.cluster.for_each_group(|key, group, lag_milli| {
            groups.push(GroupValues::of(key, group, lag_milli));
            for condition in &group.summary.conditions {
                *conditions.entry(*condition).or_default() += 1;
            }
        });
        let depth = ConstGauge::new(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        depth.encode(encoder.encode_descriptor(
            "workqueue_depth",
            "Groups that wait for a worker",
            None,
            MetricType::Gauge,
        )?)?;
        encode_conditions(&mut encoder, &conditions)?;
        encode_groups(&mut encoder, &groups)
    }
}

fn encode_conditions(
    encoder: &mut DescriptorEncoder,
    conditions: &BTreeMap<(ConditionType, ConditionStatus, Reason), i64>,
) -> fmt::Result {
    let help = "Groups by type, status and reason of their conditions";
    let mut family = encoder.encode_descriptor("groups", help, None, MetricType::Gauge)?;
    for ((type_, status, reason), count) in conditions {
        let labels = [("type", type_.as_str()), ("status", status.as_str()), ("reason", reason.as_str())];
        ConstGauge::new(*count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_groups(encoder: &mut DescriptorEncoder, groups: &[GroupValues]) -> fmt::Result {
    for (number, (name, help)) in GROUP_METRICS.iter().enumerate() {
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
