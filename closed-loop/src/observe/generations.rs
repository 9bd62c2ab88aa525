//! Rebalances as the broker counts them: the generations of each consumer group, from its log.
//!
//! A client counts only the rebalances it took part in, and its count ends with it. The
//! coordinator's log has every generation. With a cooperative assignor a change of members takes
//! two: partitions are revoked, then assigned.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;

use super::clock::Clock;
use super::log_tail::LogTail;
use crate::timeline::Points;

/// The rebalances so far.
#[derive(Debug, Default)]
pub struct Generations {
    log: LogTail,
    groups: BTreeMap<String, Points>,
}

impl Generations {
    /// Reads what was added to the broker's log.
    pub fn read(&mut self, log: &Path, clock: &Clock) -> Result<()> {
        for (time, group) in self.log.read(log)?.lines().filter_map(generation) {
            let points = self.groups.entry(group.to_owned()).or_default();
            #[allow(clippy::cast_precision_loss)] // Far below 2^52.
            let count = (points.len() + 1) as f64;
            #[allow(clippy::cast_precision_loss)] // Milliseconds since 1970 are far below 2^52.
            points.push((clock.at_seconds(time.as_millisecond() as f64 / 1000.0), count));
        }
        Ok(())
    }

    /// A point for each rebalance of a group: its time, and the number of rebalances so far.
    pub fn of(&self, group: &str) -> &[(f64, f64)] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }
}

/// The time and the group of a line that reports a new generation.
fn generation(line: &str) -> Option<(Timestamp, &str)> {
    let (_, rest) = line.split_once("Stabilized group ")?;
    let (group, _) = rest.split_once(" generation ")?;
    Some((line.split(' ').next()?.parse().ok()?, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_in_the_log_is_a_rebalance() -> Result<()> {
        let line = |second: u32, text: &str| {
            format!(
                "2026-01-01T00:00:0{second}.500Z [event-processor-1] INFO GroupMetadataManager - [GroupCoordinator id=1] {text}\n"
            )
        };
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("kafka.log");
        let first = line(1, "Stabilized group orders generation 1 with 1 members.")
            + &line(
                2,
                "Preparing to rebalance group orders in state PreparingRebalance with old generation 1",
            );
        let mut generations = Generations::default();
        std::fs::write(&log, &first)?;
        generations.read(&log, &Clock::start())?;
        std::fs::write(&log, first + &line(3, "Stabilized group orders generation 2 with 3 members."))?;
        generations.read(&log, &Clock::start())?;
        let counts: Vec<f64> = generations.of("orders").iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1.0, 2.0]);
        assert!(generations.of("payments").is_empty());
        Ok(())
    }
}
