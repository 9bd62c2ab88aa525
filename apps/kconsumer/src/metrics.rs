//! The metrics, under the names that Micrometer gives the Java client's, so that whatever is written for a Spring
//! consumer (the operator's `Spring` preset, dashboards, alerts) fits this one.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::callbacks::Callbacks;
use crate::membership::Lag;
use crate::record::{Place, Record};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    topic: String,
    partition: i32,
    client_id: String,
}

/// Counted by this process, by partition. They stay when the partition goes: they are facts about the past.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    client_id: Arc<str>,
    consumed: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    poisoned: Family<Labels, Counter>,
    processed: Counter,
}

impl Counters {
    pub fn new(client_id: &str) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }
    }

    /// Counts a record with which the worker is done, successfully or by skipping it.
    pub fn count(&self, record: &Record, done: bool) {
        let labels = labels(&record.place, &self.client_id);
        self.consumed.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(record.bytes);
        if done {
            self.processed.inc();
        } else {
            self.poisoned.get_or_create(&labels).inc();
        }
    }

    pub fn processed(&self) -> u64 {
        self.processed.get()
    }
}

fn labels(place: &Place, client_id: &str) -> Labels {
    Labels { topic: place.topic.clone(), partition: place.partition, client_id: client_id.to_owned() }
}

/// The registry behind /metrics.
pub fn registry(counters: &Counters, callbacks: &Callbacks) -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "kafka_consumer_fetch_manager_records_consumed",
        "Records consumed",
        counters.consumed.clone(),
    );
    registry.register(
        "kafka_consumer_fetch_manager_bytes_consumed",
        "Bytes of keys and values consumed",
        counters.bytes.clone(),
    );
    registry.register(
        "kconsumer_poisoned_records",
        "Records skipped because the work on them failed each time",
        counters.poisoned.clone(),
    );
    let client_id = Arc::clone(&counters.client_id);
    registry.register_collector(Box::new(GroupMetrics { callbacks: callbacks.clone(), client_id }));
    registry
}

/// What is read from the membership when Prometheus asks, and not kept.
#[derive(Debug)]
struct GroupMetrics {
    callbacks: Callbacks,
    client_id: Arc<str>,
}

impl Collector for GroupMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let membership = self.callbacks.membership();
        let member = [("client_id", &*self.client_id)];
        let assigned = ConstGauge::new(membership.assigned().len() as u64);
        let name = "kafka_consumer_coordinator_assigned_partitions";
        let mut family =
            encoder.encode_descriptor(name, "Partitions that this member has", None, MetricType::Gauge)?;
        assigned.encode(family.encode_family(&member)?)?;
        let name = "kafka_consumer_coordinator_rebalance";
        let mut family =
            encoder.encode_descriptor(name, "Completed rebalances", None, MetricType::Counter)?;
        ConstCounter::new(membership.rebalances()).encode(family.encode_family(&member)?)?;

        let lag = membership.lag(Instant::now());
        let help = "Records between the position and the partition's end";
        // Both names carry the same figure: what Micrometer calls max is one over the client's last seconds, and of a partition
        // that is read steadily it is this one.
        for name in
            ["kafka_consumer_fetch_manager_records_lag", "kafka_consumer_fetch_manager_records_lag_max"]
        {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            match &lag {
                // A member without partitions is behind by nothing, and says so. Saying nothing, it would count for the
                // autoscaler as a pod whose metric is missing: at its full target whenever the group is to shrink, so that
                // idle pods would keep each other alive. There is no topic and no partition to name.
                Lag::Idle if name.ends_with("_max") => {
                    ConstGauge::new(0_u64).encode(family.encode_family(&member)?)?;
                }
                // An absent figure is honest; an old one, or NaN, which Java reports here, is not.
                Lag::Unknown | Lag::Idle => {}
                Lag::Of(partitions) => {
                    for (place, records) in *partitions {
                        let labels = labels(place, &self.client_id);
                        ConstGauge::new(*records).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
