//! What this member knows of its place in the group: its partitions, their lag, and whether Kafka can be reached.
//! Callbacks of the Kafka client tell it; metrics and health read it. No clock, no I/O: the time is handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Statistics;

use crate::record::Place;

/// How often the Kafka client tells its statistics.
pub const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// Older statistics are no answer: an old lag would scale a group by what was true once.
const STALE: Duration = STATISTICS_INTERVAL.saturating_mul(3);

#[derive(Debug, Default)]
pub struct Membership {
    assigned: BTreeSet<Place>,
    /// Of assigned partitions alone, in records.
    lag: BTreeMap<Place, u64>,
    rebalances: u64,
    joined: bool,
    /// The group took partitions away and has not said yet which ones this member has instead.
    rebalancing: bool,
    leaving: bool,
    heard: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    /// Why Kafka cannot be reached, if it cannot.
    away: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Lag<'a> {
    /// Nothing can be said now.
    Unknown,
    /// A member whose group has no partition for it: it is behind by nothing.
    Idle,
    /// By partition, in records; a partition of which nothing is known is left out.
    Of(&'a BTreeMap<Place, u64>),
}

impl Membership {
    /// The group gave partitions, or none: each completed rebalance ends in this.
    pub fn assign(&mut self, places: impl IntoIterator<Item = Place>) {
        self.assigned.extend(places);
        self.joined = true;
        self.rebalancing = false;
        self.rebalances += 1;
    }

    /// The group took partitions away. `lost` says that it did so without asking, for it took this member for dead.
    pub fn revoke(&mut self, places: &[Place], lost: bool) {
        for place in places {
            self.assigned.remove(place);
            // At once: whoever has the partition now tells its lag.
            self.lag.remove(place);
        }
        self.joined &= !lost;
        self.rebalancing = true;
    }

    /// The process ends: it is no longer ready, and has nothing more to say about lag.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Takes a document of the client's statistics.
    pub fn hear(&mut self, statistics: &Statistics, now: Instant) {
        self.heard = Some(Heard { at: now, away: away(statistics) });
        let known = self.assigned.iter().filter_map(|place| Some((place.clone(), lag(statistics, place)?)));
        self.lag = known.collect();
    }

    pub fn lag(&self, now: Instant) -> Lag<'_> {
        if self.ready(now).is_err() {
            Lag::Unknown
        } else if !self.assigned.is_empty() {
            Lag::Of(&self.lag)
        } else if self.rebalancing {
            Lag::Unknown
        } else {
            Lag::Idle
        }
    }

    /// Ready: in the group, with Kafka in reach. Otherwise why not.
    pub fn ready(&self, now: Instant) -> Result<(), &'static str> {
        if self.leaving {
            return Err("leaving the group");
        }
        let fresh = self.heard.filter(|heard| now.saturating_duration_since(heard.at) <= STALE);
        match fresh {
            None => Err("the Kafka client has told nothing for 3 s"),
            Some(Heard { away: Some(reason), .. }) => Err(reason),
            Some(_) if !self.joined => Err("has not joined the consumer group yet"),
            Some(_) => Ok(()),
        }
    }

    pub fn assigned(&self) -> &BTreeSet<Place> {
        &self.assigned
    }

    /// Completed rebalances that this member took part in.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }
}

/// The statistics go on while Kafka is away, with the last figures; only the states of the connections tell.
fn away(statistics: &Statistics) -> Option<&'static str> {
    if !statistics.brokers.values().any(|broker| broker.state == "UP") {
        return Some("no Kafka broker can be reached");
    }
    let coordinator = statistics.cgrp.as_ref().is_some_and(|group| group.state == "up");
    (!coordinator).then_some("the consumer group's coordinator cannot be reached")
}

/// How many records lie between what this member has processed and the partition's end. None where that is not known now.
fn lag(statistics: &Statistics, place: &Place) -> Option<u64> {
    let partition = statistics.topics.get(&place.topic)?.partitions.get(&place.partition)?;
    // "logical" is the coordinator's own connection, which fetches nothing.
    let mut brokers = statistics.brokers.values().filter(|broker| broker.source != "logical");
    let leader = brokers.find(|broker| broker.nodeid == partition.leader)?;
    if leader.state != "UP" {
        return None;
    }
    // Like the Java client, this one reads committed transactions only: its end is the last stable offset, which is the high
    // watermark unless a transaction is open. Negative values say "not known".
    let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
    // What was processed, committed or not; before the first record, what was committed, or where the partition begins.
    let position = partition.stored_offset.max(partition.committed_offset).max(partition.lo_offset);
    (end >= 0 && position >= 0).then(|| u64::try_from(end - position).unwrap_or(0))
}

#[cfg(test)]
mod tests;
