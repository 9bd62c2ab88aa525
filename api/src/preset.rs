//! Presets: where the common Kafka clients expose their metrics, and what they call their lag.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of client whose metrics are scraped. It sets the port, path and lag metric that
/// spec.metrics leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// A Spring Boot application with Micrometer and the actuator.
    #[default]
    Spring,
    /// A JVM with the Prometheus JMX exporter as a Java agent.
    JmxExporter,
    /// A client based on librdkafka that exports its statistics under librdkafka's own names.
    Librdkafka,
}

/// Where a preset's clients expose their metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// TCP port of the container that serves the metrics.
    pub port: i32,
    /// HTTP path of the metrics.
    pub path: &'static str,
    /// The Prometheus metric of the lag in records, per partition or per client. A pod's largest
    /// value counts.
    pub lag_metric: &'static str,
}

impl Preset {
    /// Every preset, in the order in which docs and errors list them.
    pub const ALL: [Self; 3] = [Self::Spring, Self::JmxExporter, Self::Librdkafka];

    /// The values that spec.metrics takes from this preset.
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::Spring => Endpoint {
                port: 8085,
                path: "/actuator/prometheus",
                lag_metric: "kafka_consumer_fetch_manager_records_lag_max",
            },
            Self::JmxExporter => Endpoint {
                port: 5556,
                path: "/metrics",
                lag_metric: "kafka_consumer_consumer_fetch_manager_metrics_records_lag_max",
            },
            Self::Librdkafka => {
                Endpoint { port: 9090, path: "/metrics", lag_metric: "rdkafka_topic_partitions_consumer_lag" }
            }
        }
    }
}
