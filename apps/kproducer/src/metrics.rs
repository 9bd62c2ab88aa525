//! The metrics, with Micrometer's names for the Java client's metrics.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    topic: String,
    client_id: String,
}

/// The counters of this process, by topic.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    client_id: Arc<str>,
    confirmed: Family<Labels, Counter>,
    failed: Family<Labels, Counter>,
}

impl Counters {
    /// Counters labelled with this client id.
    pub fn new(client_id: &str) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }
    }

    /// Counts a confirmed record.
    pub fn confirmed(&self, topic: &str) {
        self.confirmed.get_or_create(&self.labels(topic)).inc();
    }

    /// Counts a record that was not confirmed.
    pub fn failed(&self, topic: &str) {
        self.failed.get_or_create(&self.labels(topic)).inc();
    }

    /// The registry behind /metrics.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let name = "kafka_producer_topic_record_send";
        registry.register(name, "Records that the broker confirmed", self.confirmed.clone());
        let name = "kafka_producer_topic_record_error";
        registry.register(name, "Records that were not confirmed in time", self.failed.clone());
        registry
    }

    fn labels(&self, topic: &str) -> Labels {
        Labels { topic: topic.to_owned(), client_id: self.client_id.to_string() }
    }
}
