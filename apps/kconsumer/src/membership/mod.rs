//! The state of this member in its group: its partitions, their lag, and whether Kafka is
//! reachable. The client's callbacks write it; metrics and health read it. No clock and no I/O: the
//! caller passes the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::statistics::Partition;

use crate::record::Place;

/// How often the Kafka client reports statistics.
pub const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// Older statistics are ignored: a stale lag would scale the group wrongly.
const STALE: Duration = STATISTICS_INTERVAL.saturating_mul(3);

/// The partitions, their lag, and the client's last statistics.
#[derive(Debug, Default)]
pub struct Membership {
    assigned: BTreeSet<Place>,
    /// Of assigned partitions only, in records.
    lag: BTreeMap<Place, u64>,
    /// Records received from Kafka, for assigned partitions only.
    received: BTreeMap<Place, u64>,
    rebalances: u64,
    joined: bool,
    /// Partitions were revoked and no new assignment has followed yet.
    rebalancing: bool,
    leaving: bool,
    report: Option<Report>,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    at: Instant,
    /// Why Kafka is unreachable, if it is.
    unreachable: Option<&'static str>,
}

/// The lag of a member.
#[derive(Debug, PartialEq, Eq)]
pub enum Lag<'a> {
    /// Not known now.
    Unknown,
    /// The member has no partitions, so it has no lag.
    Idle,
    /// By partition, in records, without partitions whose lag is unknown.
    Of(&'a BTreeMap<Place, u64>),
}

impl Membership {
    /// The group assigned partitions, or none. Each completed rebalance ends with this.
    pub fn assign(&mut self, places: impl IntoIterator<Item = Place>) {
        self.assigned.extend(places);
        self.joined = true;
        self.rebalancing = false;
        self.rebalances += 1;
    }

    /// The group revoked partitions. `lost` means that it removed this member before.
    pub fn revoke(&mut self, places: &[Place], lost: bool) {
        for place in places {
            self.assigned.remove(place);
            // At once, since the new owner reports its lag.
            self.lag.remove(place);
            self.received.remove(place);
        }
        self.joined &= !lost;
        self.rebalancing = true;
    }

    /// The process ends: it is no longer ready and reports no lag.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Updates the state with the client's statistics.
    pub fn update(&mut self, statistics: &Statistics, now: Instant) {
        self.report = Some(Report { at: now, unreachable: unreachable(statistics) });
        let known = self.assigned.iter().filter_map(|place| Some((place.clone(), lag(statistics, place)?)));
        self.lag = known.collect();
        let received = self
            .assigned
            .iter()
            .filter_map(|place| Some((place.clone(), partition(statistics, place)?.rxmsgs)));
        self.received = received.collect();
    }

    /// The lag now.
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

    /// Whether it is in the group and Kafka is reachable; otherwise the reason.
    pub fn ready(&self, now: Instant) -> Result<(), &'static str> {
        if self.leaving {
            return Err("leaving the group");
        }
        let fresh = self.report.filter(|report| now.saturating_duration_since(report.at) <= STALE);
        match fresh {
            None => Err("the Kafka client has reported nothing for 3 s"),
            Some(Report { unreachable: Some(reason), .. }) => Err(reason),
            Some(_) if !self.joined => Err("not in the consumer group yet"),
            Some(_) => Ok(()),
        }
    }

    /// The assigned partitions.
    pub fn assigned(&self) -> &BTreeSet<Place> {
        &self.assigned
    }

    /// The records received from Kafka, by assigned partition.
    pub fn received(&self) -> &BTreeMap<Place, u64> {
        &self.received
    }

    /// The number of completed rebalances that this member took part in.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }
}

/// Why Kafka is unreachable, from the states of the connections. The other statistics keep their
/// last values in an outage.
fn unreachable(statistics: &Statistics) -> Option<&'static str> {
    if !statistics.brokers.values().any(|broker| broker.state == "UP") {
        return Some("no Kafka broker is reachable");
    }
    let coordinator = statistics.cgrp.as_ref().is_some_and(|group| group.state == "up");
    (!coordinator).then_some("the consumer group's coordinator is unreachable")
}

fn partition<'a>(statistics: &'a Statistics, place: &Place) -> Option<&'a Partition> {
    statistics.topics.get(&place.topic)?.partitions.get(&place.partition)
}

/// The number of records between the last processed one and the partition's end; none if it is
/// unknown.
fn lag(statistics: &Statistics, place: &Place) -> Option<u64> {
    let partition = partition(statistics, place)?;
    // "logical" is the connection to the coordinator, which fetches nothing.
    let mut brokers = statistics.brokers.values().filter(|broker| broker.source != "logical");
    let leader = brokers.find(|broker| broker.nodeid == partition.leader)?;
    if leader.state != "UP" {
        return None;
    }
    // Like the Java client, this client reads only committed transactions. Its end is the last
    // stable offset, which is the high watermark unless a transaction is open. Negative values mean
    // "unknown".
    let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
    // The last processed record; before the first one the committed offset, or else the partition's
    // start.
    let position = partition.stored_offset.max(partition.committed_offset).max(partition.lo_offset);
    (end >= 0 && position >= 0).then(|| u64::try_from(end - position).unwrap_or(0))
}

#[cfg(test)]
mod tests;
