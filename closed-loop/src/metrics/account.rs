//! Evaluates the processed records of a group: duplicates, losses, stalls, and partitions that
//! moved.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::observe::processed_log::Processed;
use crate::timeline::{Line, Points};

/// The number of lost records that are named.
const NAMED: usize = 5;

/// The values that were sent and confirmed, by topic.
pub type Sent = BTreeMap<String, BTreeSet<String>>;

/// Numbers of records sent, processed and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Confirmed to the producer.
    pub sent: u64,
    /// Of those sent, processed at least once.
    pub processed: u64,
    /// Records processed again.
    pub duplicates: u64,
    /// Sent and never processed.
    pub lost: u64,
    /// The first few lost records, as `topic: value`.
    pub lost_records: Vec<String>,
}

/// A partition that moved from one consumer to another, or to the next run of the same pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    /// The partition's topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The old pod.
    pub from: String,
    /// The new pod.
    pub to: String,
    /// When the old pod processed its last record, in seconds.
    pub left: f64,
    /// When the new pod processed its first.
    pub taken: f64,
}

/// The processed records of a group, in the order of their times.
#[derive(Debug)]
pub struct Account<'a>(Vec<(f64, &'a Processed)>);

impl<'a> Account<'a> {
    /// `at` converts milliseconds since 1970 to seconds of the run.
    pub fn new(records: &'a [Processed], at: impl Fn(u64) -> f64) -> Self {
        let mut records: Vec<_> = records.iter().map(|record| (at(record.at), record)).collect();
        records.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Self(records)
    }

    /// Compares what was processed with what was sent.
    pub fn counts(&self, sent: &Sent) -> Counts {
        let places: BTreeSet<_> = self.0.iter().map(|(_, it)| (&it.topic, it.partition, it.offset)).collect();
        let seen: BTreeSet<_> = self.0.iter().map(|(_, it)| (it.topic.as_str(), it.value.as_str())).collect();
        let all = sent
            .iter()
            .flat_map(|(topic, values)| values.iter().map(move |value| (topic.as_str(), value.as_str())));
        let (mut total, mut lost) = (0, Vec::new());
        for record in all {
            total += 1;
            if !seen.contains(&record) {
                lost.push(record);
            }
        }
        Counts {
            sent: total,
            processed: total - lost.len() as u64,
            duplicates: (self.0.len() - places.len()) as u64,
            lost: lost.len() as u64,
            lost_records: lost.iter().take(NAMED).map(|(topic, value)| format!("{topic}: {value}")).collect(),
        }
    }

    /// The records a second of each pod, from its first record to its last: the mean of each
    /// `window` (in seconds), as a point in its middle.
    pub fn throughput(&self, window: f64) -> Vec<Line> {
        let mut pods: BTreeMap<&str, BTreeMap<i64, u32>> = BTreeMap::new();
        for (at, record) in &self.0 {
            #[allow(clippy::cast_possible_truncation)] // Numbers of windows.
            let slot = (at / window).floor() as i64;
            *pods.entry(&record.pod).or_default().entry(slot).or_default() += 1;
        }
        let first = |slots: &BTreeMap<i64, u32>| slots.keys().next().copied();
        let mut pods: Vec<_> = pods.into_iter().collect();
        pods.sort_by_key(|(_, slots)| first(slots));
        pods.into_iter()
            .map(|(pod, slots)| Line { label: pod.to_owned(), points: rates(&slots, window) })
            .collect()
    }

    /// Times longer than `threshold` (in seconds) in which records waited and none was processed.
    /// Records wait if more were `sent` than processed.
    pub fn stalls(&self, sent: &[(f64, f64)], threshold: f64) -> Vec<(f64, f64)> {
        let (mut places, mut before, mut stalls) = (BTreeSet::new(), f64::NEG_INFINITY, Vec::new());
        for (at, record) in &self.0 {
            #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
            let done = places.len() as f64;
            let next = sent.partition_point(|(_, sent)| *sent <= done);
            if let Some((since, _)) = sent.get(next)
                && at - since.max(before) > threshold
            {
                stalls.push((since.max(before), *at));
            }
            places.insert((&record.topic, record.partition, record.offset));
            before = *at;
        }
        stalls
    }

    /// Each change of the consumer of a partition.
    pub fn handovers(&self) -> Vec<Handover> {
        let mut last: BTreeMap<(&str, i32), (f64, &Processed)> = BTreeMap::new();
        let mut handovers = Vec::new();
        for (at, record) in &self.0 {
            let place = (record.topic.as_str(), record.partition);
            if let Some((left, old)) = last.get(&place)
                && old.run != record.run
            {
                handovers.push(Handover {
                    topic: record.topic.clone(),
                    partition: record.partition,
                    from: old.pod.clone(),
                    to: record.pod.clone(),
                    left: *left,
                    taken: *at,
                });
            }
            last.insert(place, (*at, record));
        }
        handovers
    }
}

/// A point for each window, and a zero before and after each run of windows.
fn rates(slots: &BTreeMap<i64, u32>, window: f64) -> Points {
    #[allow(clippy::cast_precision_loss)] // Numbers of windows.
    let middle = |slot: i64| (slot as f64 + 0.5) * window;
    let mut counts = slots.clone();
    for slot in slots.keys() {
        counts.entry(slot - 1).or_default();
        counts.entry(slot + 1).or_default();
    }
    counts.into_iter().map(|(slot, count)| (middle(slot), f64::from(count) / window)).collect()
}
