//! What the common Kafka clients call their lag and where they show it. Floor 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of client whose metrics are scraped; it decides the port, path and metric that
/// spec.metrics leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// A Spring Boot application with Micrometer and the actuator: the original's.
    #[default]
    Spring,
    /// A JVM with the Prometheus JMX exporter as its agent.
    JmxExporter,
    /// A client on librdkafka that exports its statistics under librdkafka's own names.
    Librdkafka,
}

/// The values of one preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// TCP port of the container that serves the metrics.
    pub port: i32,
    pub path: &'static str,
    /// Per partition or per client, in records; the worst one of a pod counts.
    pub lag_metric: &'static str,
}

impl Preset {
    /// Every one, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Spring, Self::JmxExporter, Self::Librdkafka];

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
