//! Rebalances as the broker itself counts them: the generations of each consumer group, from its log.
//!
//! A client counts what it took part in, and takes its count with it when it ends; the coordinator's log has every
//! generation. With a cooperative assignor a change of members takes two: partitions are given up, then taken over.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::clock::Clock;
use super::timeline::Points;

/// Rebalances so far by group, a point for each, from the broker's log.
pub fn read(log: &str, clock: &Clock) -> BTreeMap<String, Points> {
    let mut groups: BTreeMap<String, Points> = BTreeMap::new();
    for (time, group) in log.lines().filter_map(generation) {
        let points = groups.entry(group.to_owned()).or_default();
        #[allow(clippy::cast_precision_loss)] // A story has few rebalances.
        let count = (points.len() + 1) as f64;
        #[allow(clippy::cast_precision_loss)] // Milliseconds since 1970 are far below 2^52.
        points.push((clock.at_seconds(time.as_millisecond() as f64 / 1000.0), count));
    }
    groups
}

/// When a generation was stabilised, and of which group.
fn generation(line: &str) -> Option<(Timestamp, &str)> {
    let (_, rest) = line.split_once("Stabilized group ")?;
    let (group, _) = rest.split_once(" generation ")?;
    Some((line.split(' ').next()?.parse().ok()?, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_of_the_log_is_a_rebalance() {
        let line = |second: u32, text: &str| {
            format!(
                "2026-01-01T00:00:0{second}.500Z [event-processor-1] INFO GroupMetadataManager - [GroupCoordinator id=1] {text}\n"
            )
        };
        let log = line(1, "Stabilized group orders generation 1 with 1 members.")
            + &line(
                2,
                "Preparing to rebalance group orders in state PreparingRebalance with old generation 1",
            )
            + &line(3, "Stabilized group orders generation 2 with 3 members.");
        let counts: Vec<f64> =
            read(&log, &Clock::start())["orders"].iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1.0, 2.0]);
    }
}
