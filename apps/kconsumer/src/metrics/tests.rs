use prometheus_client::encoding::text::encode;
use rdkafka::Statistics;

use super::*;

/// A document as librdkafka told it, cut down to one broker and one topic.
const TOLD: &str = include_str!("statistics.json");

fn told() -> Statistics {
    serde_json::from_str(TOLD).unwrap()
}

fn text(counters: &Counters, callbacks: &Callbacks) -> String {
    let mut text = String::new();
    encode(&mut text, &registry(counters, callbacks)).unwrap();
    text
}

/// The series of a metric, without its help.
fn series<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let begins = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    text.lines().filter(begins).collect()
}
