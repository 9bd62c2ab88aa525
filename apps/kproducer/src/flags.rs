//! The command line and environment. kconsumer reads KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPICS as
//! well.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::keys::Distribution;

/// A Kafka producer to copy from: idempotent, acknowledged by all replicas, it reports what the
/// broker confirmed.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve GET /send/N, which sends "bar-1" to "bar-n" and then "baz"
    Serve {
        #[command(flatten)]
        kafka: KafkaFlags,
        /// The address to serve on; a Service's targetPort must be its port
        #[arg(long, env = "KPRODUCER_ADDR", default_value = "0.0.0.0:8083")]
        addr: SocketAddr,
        /// The most records of one request
        #[arg(long, default_value_t = 1_000_000)]
        most: u64,
    },
    /// Send records and report what the broker confirmed; exits with 1 unless it confirmed all
    Send {
        #[command(flatten)]
        kafka: KafkaFlags,
        /// How many records to send to each topic, without the end marker "baz"
        count: u64,
        /// Records a second for all topics together, for example 500/s; by default as fast as
        /// possible
        #[arg(long, value_parser = rate)]
        rate: Option<u64>,
        /// Pad each value with blanks to this size in bytes; 999000 at most
        #[arg(long, default_value_t = 0, value_parser = size)]
        size: usize,
        /// The keys, which decide the partitions: uniform, single, or zipf:S such as zipf:1.2
        #[arg(long, default_value = "uniform", value_parser = Distribution::read)]
        keys: Distribution,
        /// Report as one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// The flags of the connection to Kafka.
#[derive(Clone, Debug, Args)]
pub struct KafkaFlags {
    /// Kafka's bootstrap servers, comma-separated
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// A topic to send to; may be given more than once, or comma-separated
    #[arg(
        id = "topic",
        long,
        env = "KAFKA_TOPICS",
        value_delimiter = ',',
        default_value = "fast-data-topic",
        value_parser = name
    )]
    pub topics: Vec<String>,
    /// How long to retry a record before it counts as not confirmed
    #[arg(long, env = "KPRODUCER_DELIVERY_TIMEOUT", default_value = "5m", value_parser = duration)]
    pub delivery_timeout: Duration,
    /// The name of this process in Kafka and in the metrics
    #[arg(long, env = "HOSTNAME", default_value = "kproducer")]
    pub client_id: String,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("a name is missing".to_owned()) } else { Ok(text.to_owned()) }
}

fn rate(text: &str) -> Result<u64, String> {
    let count = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    count.filter(|count| *count > 0).ok_or_else(|| "write records a second, for example 500/s".to_owned())
}

/// The client's message.max.bytes, minus room for the rest of a record.
const LARGEST: usize = 999_000;

fn size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| *size <= LARGEST);
    size.ok_or_else(|| format!("write a number of bytes, {LARGEST} at most"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    read.ok_or_else(|| "write a number and its unit, for example 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &str) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["kproducer"].into_iter().chain(flags.split_whitespace()))
    }

    #[test]
    fn topics_may_be_given_one_by_one_or_in_a_list() {
        let flags = read("send 10 --topic a --topic b,c --rate 500/s --keys zipf:1.2").unwrap();
        let Command::Send { kafka, count, rate, keys, .. } = flags.command else { panic!("not send") };
        assert_eq!(kafka.topics, ["a", "b", "c"]);
        assert_eq!((count, rate, keys), (10, Some(500), Distribution::Zipf(1.2)));
    }

    #[test]
    fn invalid_flags_are_rejected() {
        for wrong in [
            "",
            "send",
            "send -1",
            "send 1 --rate 0/s",
            "send 1 --rate fast",
            "send 1 --size 2000000",
            "send 1 --keys hot",
            "serve 5",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
