//! The command line and environment. The operator injects KAFKA_TOPICS, KAFKA_GROUP_ID and
//! KAFKA_BOOTSTRAP_SERVERS; all other flags have defaults.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// A Kafka consumer to copy from: a member of a consumer group that loses no record and exports its
/// lag.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Flags {
    /// The topics to consume, comma-separated
    #[arg(long, env = "KAFKA_TOPICS", value_delimiter = ',', required = true, value_parser = name)]
    pub topics: Vec<String>,
    /// The consumer group
    #[arg(long, env = "KAFKA_GROUP_ID", value_parser = name)]
    pub group_id: String,
    /// Kafka's bootstrap servers, comma-separated
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// How the group assigns its partitions; must be equal for all members of a group
    #[arg(long, env = "KCONSUMER_ASSIGNOR", default_value = "cooperative-sticky")]
    pub assignor: Assignor,
    /// How long the work on one record takes, for example 10ms
    #[arg(long, env = "KCONSUMER_WORK", default_value = "10ms", value_parser = duration)]
    pub work: Duration,
    /// The fraction by which the work varies: 0.5 means from half to one and a half times
    #[arg(long, env = "KCONSUMER_JITTER", default_value_t = 0.0, value_parser = fraction)]
    pub jitter: f64,
    /// The fraction of records for which the work always fails
    #[arg(long, env = "KCONSUMER_POISON_RATE", default_value_t = 0.0, value_parser = fraction)]
    pub poison_rate: f64,
    /// How long a member may send no heartbeat before the group removes it
    #[arg(long, env = "KCONSUMER_SESSION_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub session_timeout: Duration,
    /// How long to take after SIGTERM to finish the record, commit and leave the group; less than
    /// the pod's grace period
    #[arg(long, env = "KCONSUMER_GRACE", default_value = "25s", value_parser = duration)]
    pub grace: Duration,
    /// The address for metrics and health
    #[arg(long, env = "KCONSUMER_METRICS_ADDR", default_value = "0.0.0.0:8085")]
    pub metrics_addr: SocketAddr,
    /// The format of the metrics; off serves only health
    #[arg(long, env = "KCONSUMER_METRICS", default_value = "prometheus")]
    pub metrics: Metrics,
    /// The name of this process in Kafka and in the metrics: in a pod, the pod's name
    #[arg(long, env = "HOSTNAME", default_value = "kconsumer")]
    pub client_id: String,
    /// A name that survives a restart (static membership): the group waits for it instead of
    /// rebalancing
    #[arg(long, env = "KCONSUMER_GROUP_INSTANCE_ID")]
    pub group_instance_id: Option<String>,
    /// Write a line of JSON to stdout for each processed record
    #[arg(long, env = "KCONSUMER_LOG_RECORDS")]
    pub log_records: bool,
}

/// Kafka's partition assignors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Assignor {
    CooperativeSticky,
    Range,
    Roundrobin,
}

impl Assignor {
    /// Its name in librdkafka and in the Java client.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
            Self::Roundrobin => "roundrobin",
        }
    }
}

/// The formats of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metrics {
    Prometheus,
    Off,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("a name is missing".to_owned()) } else { Ok(text.to_owned()) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    read.ok_or_else(|| "write a number and its unit, for example 10ms or 30s".to_owned())
}

fn fraction(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    read.ok_or_else(|| "write a fraction from 0 to 1, for example 0.01".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<Flags, clap::Error> {
        let given = ["kconsumer", "--topics", "orders, payments", "--group-id", "g"];
        Flags::try_parse_from(given.iter().chain(flags))
    }

    #[test]
    fn topics_are_a_list_and_the_rest_has_defaults() {
        let flags = read(&[]).unwrap();
        assert_eq!(flags.topics, ["orders", "payments"]);
        assert_eq!(flags.work, Duration::from_millis(10));
        assert_eq!(flags.assignor.name(), "cooperative-sticky");
        assert_eq!(flags.metrics_addr.port(), 8085);
    }

    #[test]
    fn a_value_out_of_bounds_is_rejected() {
        for wrong in [
            ["--jitter", "1.5"],
            ["--poison-rate", "NaN"],
            ["--poison-rate", "-1"],
            ["--work", "10"],
            ["--work", "-1s"],
            ["--assignor", "sticky"],
            ["--topics", "a,,b"],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
