//! What became of the records of one order: confirmed by the broker, by topic and partition, or not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What was to be sent.
    pub ordered: u64,
    /// What the client was given and has not answered for yet.
    underway: u64,
    confirmed: BTreeMap<String, BTreeMap<i32, u64>>,
    /// Why the first record that was not confirmed was not.
    pub failure: Option<String>,
}

impl Tally {
    pub fn new(ordered: u64) -> Self {
        Self { counts: Mutex::new(Counts { ordered, ..Counts::default() }), ..Self::default() }
    }

    /// A record is given to the client: exactly one of `confirm` and `fail` follows.
    pub fn take(&self) {
        self.counts().underway += 1;
    }

    pub fn confirm(&self, topic: &str, partition: i32) {
        let mut counts = self.counts();
        counts.underway -= 1;
        if !counts.confirmed.contains_key(topic) {
            counts.confirmed.insert(topic.to_owned(), BTreeMap::new());
        }
        if let Some(partitions) = counts.confirmed.get_mut(topic) {
            *partitions.entry(partition).or_default() += 1;
        }
        self.changed.notify_all();
    }

    pub fn fail(&self, reason: &str) {
        let mut counts = self.counts();
        counts.underway -= 1;
        counts.failure.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Waits, no longer than `time`, until there is an answer for all that was taken.
    pub fn is_answered_within(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.counts(), time, |counts| counts.underway > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.underway == 0
    }

    pub fn has_failure(&self) -> bool {
        self.counts().failure.is_some()
    }

    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing is left half-done under this lock, so a thread that died holding it spoiled nothing.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    pub fn confirmed(&self) -> u64 {
        self.confirmed.values().flat_map(BTreeMap::values).sum()
    }

    pub fn unconfirmed(&self) -> u64 {
        self.ordered - self.confirmed()
    }

    /// The same as one line of JSON.
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
        assert!(tally.is_answered_within(Duration::ZERO));
        tally.read()
    }

    #[test]
    fn what_was_confirmed_is_told_by_partition_and_in_all() {
        let expected =
            "orders: 3 confirmed (by partition 0: 1, 1: 2)\nconfirmed 3 of 5; the first failure: timed out";
        assert_eq!(counts().to_string(), expected);
        let json: serde_json::Value = serde_json::from_str(&counts().json()).unwrap();
        assert_eq!(json["unconfirmed"], 2);
        assert_eq!(json["topics"]["orders"]["1"], 2);
    }

    #[test]
    fn a_record_without_an_answer_is_waited_for() {
        let tally = Tally::new(1);
        tally.take();
        assert!(!tally.is_answered_within(Duration::from_millis(1)));
        assert_eq!(tally.read().unconfirmed(), 1);
    }
}
