//! The metrics, with Micrometer's names for the Java client's metrics, so that everything for a
//! Spring consumer (the operator's `Spring` preset, dashboards, alerts) works for this one. Those
//! that scaling needs have librdkafka's own names, too, for the preset `Librdkafka`.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::callbacks::Callbacks;
use crate::membership::Lag;
use crate::record::{Place, Record};

/// A member's partitions: Micrometer's name and librdkafka's.
const ASSIGNED: [&str; 2] =
    ["kafka_consumer_coordinator_assigned_partitions", "rdkafka_cgrp_assignment_size"];
/// The lag of a partition: Micrometer's name and librdkafka's.
const LAG: [&str; 2] = ["kafka_consumer_fetch_manager_records_lag", "rdkafka_topic_partitions_consumer_lag"];
const LAG_MAX: &str = "kafka_consumer_fetch_manager_records_lag_max";

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
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let membership = self.callbacks.membership();
        let assigned = membership.assigned().len() as u64;
        for name in ASSIGNED {
            self.of_member(&mut encoder, name, "Partitions assigned to this member", assigned)?;
        }
        let asked = self.callbacks.inbox().asked_ago();
        let seconds = asked.map_or(-1, |ago| i64::try_from(ago.as_secs()).unwrap_or(i64::MAX));
        let help = "Seconds since the worker asked for a record; -1 before it did";
        self.of_member(&mut encoder, "kafka_consumer_last_poll_seconds_ago", help, seconds)?;
        let (name, help) = ("kafka_consumer_coordinator_rebalance", "Completed rebalances");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let rebalances = ConstCounter::new(membership.rebalances());
        rebalances.encode(family.encode_family(&[("client_id", &*self.client_id)])?)?;

        // No value is better than a stale one, or than NaN, which Java reports here.
        let lag = membership.lag(Instant::now());
        let partitions = if let Lag::Of(partitions) = lag { Some(partitions) } else { None };
        let help = "Records between the position and the end of the partition";
        // All names have the same value. Micrometer's max covers the client's last seconds, and for a
        // partition that is read steadily it equals the current lag.
        for name in LAG {
            self.by_partition(&mut encoder, name, help, partitions.into_iter().flatten())?;
        }
        let by_partition = partitions.into_iter().flatten();
        if lag == Lag::Idle {
            // A member without partitions reports a lag of 0, without topic and partition, so that
            // a rule that reads this metric alone does not take its pod for one without a lag.
            self.of_member(&mut encoder, LAG_MAX, help, 0_u64)?;
        } else {
            self.by_partition(&mut encoder, LAG_MAX, help, by_partition)?;
        }
        let help = "Records received from Kafka";
        self.by_partition(&mut encoder, "rdkafka_topic_partitions_rxmsgs", help, membership.received())
    }
}

impl GroupMetrics {
    /// One series for this member.
    fn of_member<N>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: N,
    ) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family.encode_family(&[("client_id", &*self.client_id)])?)
    }

    /// One series for each partition.
    fn by_partition<'a>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'a Place, &'a u64)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (place, value) in values {
            let labels = labels(place, &self.client_id);
            ConstGauge::new(*value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
