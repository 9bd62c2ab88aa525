//! The metrics, with Micrometer's names for the Java client's metrics, so that everything for a
//! Spring consumer (the operator's `Spring` preset, dashboards, alerts) works for this one.

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

/// The counters of this process, by partition. They stay when the partition moves, since they count
/// the past.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    client_id: Arc<str>,
    consumed: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    poisoned: Family<Labels, Counter>,
    processed: Counter,
}

impl Counters {
    /// Counters labelled with this client id.
    pub fn new(client_id: &str) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }
    }

    /// Counts a finished record, which was processed or skipped.
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

    /// The number of processed records.
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
        "Records skipped after all attempts failed",
        counters.poisoned.clone(),
    );
    let client_id = Arc::clone(&counters.client_id);
    registry.register_collector(Box::new(GroupMetrics { callbacks: callbacks.clone(), client_id }));
    registry
}

/// The metrics that are read from the membership at each scrape.
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
            encoder.encode_descriptor(name, "Partitions assigned to this member", None, MetricType::Gauge)?;
        assigned.encode(family.encode_family(&member)?)?;
        let name = "kafka_consumer_coordinator_rebalance";
        let mut family =
            encoder.encode_descriptor(name, "Completed rebalances", None, MetricType::Counter)?;
        ConstCounter::new(membership.rebalances()).encode(family.encode_family(&member)?)?;

        let lag = membership.lag(Instant::now());
        let help = "Records between the position and the end of the partition";
        // Both names have the same value. Micrometer's max covers the client's last seconds, and
        // for a partition that is read steadily it equals the current lag.
        for name in
            ["kafka_consumer_fetch_manager_records_lag", "kafka_consumer_fetch_manager_records_lag_max"]
        {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            match &lag {
                // A member without partitions reports a lag of 0, without topic and partition. If
                // it reported nothing, the autoscaler would count it as a pod with a missing
                // metric, at its full target whenever it scales in, and idle pods would never be
                // removed.
                Lag::Idle if name.ends_with("_max") => {
                    ConstGauge::new(0_u64).encode(family.encode_family(&member)?)?;
                }
                // No value is better than a stale one, or than NaN, which Java reports here.
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
