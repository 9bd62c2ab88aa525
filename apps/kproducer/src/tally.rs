//! The results of one order's records: confirmed by the broker, by topic and partition, or not.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::json;

/// Counts results, which arrive on the client's thread.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
    changed: Condvar,
}

/// The results so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of records to send.
    pub ordered: u64,
    /// The number of records without a result.
    outstanding: u64,
    confirmed: BTreeMap<String, BTreeMap<i32, u64>>,
    /// The first failure.
    pub failure: Option<String>,
}

impl Tally {
    /// A tally of this many records.
    pub fn new(ordered: u64) -> Self {
        Self { counts: Mutex::new(Counts { ordered, ..Counts::default() }), ..Self::default() }
    }

    /// A record is passed to the client. Exactly one call of `confirm` or `fail` follows.
    pub fn take(&self) {
        self.counts.lock().outstanding += 1;
    }

    /// A record was confirmed.
    pub fn confirm(&self, topic: &str, partition: i32) {
        let mut counts = self.counts.lock();
        counts.outstanding -= 1;
        if !counts.confirmed.contains_key(topic) {
            counts.confirmed.insert(topic.to_owned(), BTreeMap::new());
        }
        if let Some(partitions) = counts.confirmed.get_mut(topic) {
            *partitions.entry(partition).or_default() += 1;
        }
        self.changed.notify_all();
    }

    /// A record was not confirmed.
    pub fn fail(&self, reason: &str) {
        let mut counts = self.counts.lock();
        counts.outstanding -= 1;
        counts.failure.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Whether all records have a result within `time`.
    pub fn is_complete_within(&self, time: Duration) -> bool {
        let mut counts = self.counts.lock();
        self.changed.wait_while_for(&mut counts, |counts| counts.outstanding > 0, time);
        counts.outstanding == 0
    }

    /// Whether a record failed.
    pub fn has_failure(&self) -> bool {
        self.counts.lock().failure.is_some()
    }

    /// The results so far.
    pub fn read(&self) -> Counts {
        self.counts.lock().clone()
    }
}

impl Counts {
    /// The number of confirmed records.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.values().flat_map(BTreeMap::values).sum()
    }

    /// The number of records that are not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.ordered - self.confirmed()
    }

    /// The results as one line of JSON.
    pub fn json(&self) -> String {
        json!({
            "ordered": self.ordered,
            "confirmed": self.confirmed(),
            "unconfirmed": self.unconfirmed(),
            "topics": self.confirmed,
            "failure": self.failure,
        })
        .to_string()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (topic, partitions) in &self.confirmed {
            let each: Vec<_> =
                partitions.iter().map(|(partition, count)| format!("{partition}: {count}")).collect();
            let sum: u64 = partitions.values().sum();
            writeln!(f, "{topic}: {sum} confirmed (by partition {})", each.join(", "))?;
        }
        write!(f, "confirmed {} of {}", self.confirmed(), self.ordered)?;
        match &self.failure {
            Some(reason) => write!(f, "; the first failure: {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        let tally = Tally::new(5);
        for partition in [1, 0, 1] {
            tally.take();
            tally.confirm("orders", partition);
        }
        for reason in ["timed out", "queue full"] {
            tally.take();
            tally.fail(reason);
        }
        assert!(tally.is_complete_within(Duration::ZERO));
        tally.read()
    }

    #[test]
    fn confirmed_records_are_reported_by_partition_and_in_total() {
        let expected =
            "orders: 3 confirmed (by partition 0: 1, 1: 2)\nconfirmed 3 of 5; the first failure: timed out";
        assert_eq!(counts().to_string(), expected);
        let json: serde_json::Value = serde_json::from_str(&counts().json()).unwrap();
        assert_eq!(json["unconfirmed"], 2);
        assert_eq!(json["topics"]["orders"]["1"], 2);
    }

    #[test]
    fn a_tally_waits_for_outstanding_records() {
        let tally = Tally::new(1);
        tally.take();
        assert!(!tally.is_complete_within(Duration::from_millis(1)));
        assert_eq!(tally.read().unconfirmed(), 1);
    }
}
