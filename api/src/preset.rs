//! Presets: where the common Kafka clients expose their metrics, and what they call them.

use std::sync::Arc;

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

/// How the lags of a pod's partitions become the lag of the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LagStatistic {
    /// All records that wait for the pod.
    #[default]
    Sum,
    /// The lag of the pod's worst partition.
    Max,
}

impl LagStatistic {
    /// Every statistic.
    pub const ALL: [Self; 2] = [Self::Sum, Self::Max];

    /// The end of the names of its metrics.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Sum => "_pod_sum",
            Self::Max => "_pod_max",
        }
    }
}

/// The metrics by which a group's autoscaler may read its lag. An installation can set the preset,
/// and an autoscaler can still have the metric of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LagMetrics {
    /// The metric that the group names.
    Named(Arc<str>),
    /// A preset's metric of this statistic, or its former one.
    OfPresets(LagStatistic),
}

impl Default for LagMetrics {
    fn default() -> Self {
        Self::OfPresets(LagStatistic::default())
    }
}

impl LagMetrics {
    /// Those of a statistic; without one the group has named a metric.
    pub(crate) fn of(statistic: Option<LagStatistic>, named: &str) -> Self {
        statistic.map_or_else(|| Self::Named(named.into()), Self::OfPresets)
    }

    /// Whether an autoscaler that reads this metric reads the group's lag.
    pub fn contain(&self, name: &str) -> bool {
        match self {
            Self::Named(own) => **own == *name,
            Self::OfPresets(statistic) => {
                let by_statistic = name.strip_suffix(statistic.suffix());
                Preset::ALL
                    .map(Preset::client_metrics)
                    .iter()
                    .any(|metrics| by_statistic == Some(metrics.records_lag) || name == metrics.former_lag)
            }
        }
    }
}

/// Where a preset's clients expose their metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// TCP port of the container that serves the metrics.
    pub port: i32,
    /// HTTP path of the metrics.
    pub path: &'static str,
}

/// The Prometheus metrics of a preset's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientMetrics {
    /// Records between the position and the end, by topic and partition.
    pub records_lag: &'static str,
    /// Partitions assigned to a client. Every live client has it.
    pub assigned_partitions: &'static str,
    /// Seconds since a client's last poll, -1 before the first one. librdkafka has no such figure;
    /// apps/kconsumer exports it under Micrometer's name.
    pub last_poll_seconds_ago: &'static str,
    /// Counts the records that a client consumed.
    pub records_consumed: &'static str,
    /// Counts the fetches that a client sent; `None` for librdkafka, which reports the lag of each
    /// partition that it has.
    pub fetches: Option<&'static str>,
    /// Whether the client also exports a topic with dots under a name with underscores. Kafka's
    /// Java client does since 4.1; before, it exported only that name.
    pub writes_dots_as_underscores: bool,
    /// The lag metric of this preset before there were statistics. The shipped rules for a metrics
    /// adapter still serve it.
    pub former_lag: &'static str,
}

impl Preset {
    /// The path on the metrics port that tells whether a client is ready; `None` if it cannot be
    /// derived from the path of the metrics.
    pub fn readiness_path(self, metrics_path: &str) -> Option<String> {
        match self {
            Self::Spring => {
                let path = metrics_path.split('?').next().unwrap_or_default();
                path.strip_suffix("/prometheus").map(|actuator| format!("{actuator}/health/readiness"))
            }
            // It costs no collection of the metrics, which may take seconds.
            Self::JmxExporter => Some("/-/healthy".to_owned()),
            Self::Librdkafka => Some(metrics_path.to_owned()),
        }
    }

    /// Every preset, in the order in which docs and errors list them.
    pub const ALL: [Self; 3] = [Self::Spring, Self::JmxExporter, Self::Librdkafka];

    /// The values that spec.metrics takes from this preset.
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::Spring => Endpoint { port: 8085, path: "/actuator/prometheus" },
            Self::JmxExporter => Endpoint { port: 5556, path: "/metrics" },
            Self::Librdkafka => Endpoint { port: 9090, path: "/metrics" },
        }
    }

    /// The metrics of its clients.
    pub const fn client_metrics(self) -> ClientMetrics {
        match self {
            Self::Spring => ClientMetrics {
                records_lag: "kafka_consumer_fetch_manager_records_lag",
                assigned_partitions: "kafka_consumer_coordinator_assigned_partitions",
                last_poll_seconds_ago: "kafka_consumer_last_poll_seconds_ago",
                records_consumed: "kafka_consumer_fetch_manager_records_consumed_total",
                fetches: Some("kafka_consumer_fetch_manager_fetch_total"),
                writes_dots_as_underscores: true,
                former_lag: "kafka_consumer_fetch_manager_records_lag_max",
            },
            Self::JmxExporter => ClientMetrics {
                records_lag: "kafka_consumer_consumer_fetch_manager_metrics_records_lag",
                assigned_partitions: "kafka_consumer_consumer_coordinator_metrics_assigned_partitions",
                last_poll_seconds_ago: "kafka_consumer_consumer_metrics_last_poll_seconds_ago",
                records_consumed: "kafka_consumer_consumer_fetch_manager_metrics_records_consumed",
                fetches: Some("kafka_consumer_consumer_fetch_manager_metrics_fetch"),
                writes_dots_as_underscores: true,
                former_lag: "kafka_consumer_consumer_fetch_manager_metrics_records_lag_max",
            },
            Self::Librdkafka => ClientMetrics {
                records_lag: "rdkafka_topic_partitions_consumer_lag",
                assigned_partitions: "rdkafka_cgrp_assignment_size",
                last_poll_seconds_ago: "kafka_consumer_last_poll_seconds_ago",
                records_consumed: "rdkafka_topic_partitions_rxmsgs",
                fetches: None,
                writes_dots_as_underscores: false,
                former_lag: "rdkafka_topic_partitions_consumer_lag",
            },
        }
    }

    /// The name under which the shipped rules for a metrics adapter serve a pod's lag.
    pub fn lag_metric(self, statistic: LagStatistic) -> String {
        format!("{}{}", self.client_metrics().records_lag, statistic.suffix())
    }
}
