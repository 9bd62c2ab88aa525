//! Progress where there is no terminal: a line when something happened, and now and then while numbers move.

use super::snapshot::{GroupSnapshot, Snapshot};
use crate::figures::count;

/// The least time in seconds between lines in which only numbers moved.
const BETWEEN: f64 = 2.0;

/// What the numbers are, said once.
const LEGEND: &str = "(lag: records that are not committed, and those of the worst partition; pods: ready/wanted of the \
                      ceiling)\n";

/// What was said last.
#[derive(Debug, Default)]
pub struct Plain {
    last: Option<(f64, GroupSnapshot)>,
}

impl Plain {
    /// The line to say now, if any.
    pub fn next(&mut self, snapshot: &Snapshot) -> Option<String> {
        let now = GroupSnapshot { pods: Vec::new(), ..snapshot.together() };
        let worth = self
            .last
            .as_ref()
            .is_none_or(|(at, last)| happened(last, &now) || (*last != now && snapshot.at - at >= BETWEEN));
        let legend = if self.last.is_none() { LEGEND } else { "" };
        worth.then(|| {
            let line = legend.to_owned() + &line(snapshot.at, &now);
            self.last = Some((snapshot.at, now));
            line
        })
    }
}

fn happened(last: &GroupSnapshot, now: &GroupSnapshot) -> bool {
    let steps = |group: &GroupSnapshot| (group.ready, group.wanted, group.ceiling, group.rebalances);
    steps(last) != steps(now) || last.alerts != now.alerts
}

fn line(at: f64, group: &GroupSnapshot) -> String {
    let GroupSnapshot { lag, worst, ready, wanted, ceiling, sent, processed, rebalances, .. } = group;
    // The broker is asked less often than the consumers' logs are read.
    let sent = if sent < processed { "?".to_owned() } else { count(*sent) };
    let [lag, worst, processed] = [lag, worst, processed].map(|value| count(*value));
    let mut line = format!(
        "{at:.1} s  lag {lag} (max {worst})  pods {ready}/{wanted} of {ceiling}  processed {processed} of {sent}  \
         rebalances {rebalances}"
    );
    for (firing, word) in [(true, "firing"), (false, "pending")] {
        let names: Vec<&str> = group
            .alerts
            .iter()
            .filter(|alert| alert.firing == firing)
            .map(|alert| alert.name.as_str())
            .collect();
        if !names.is_empty() {
            line.extend(["  ", word, ": ", &names.join(", ")]);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::AlertNow;
    use super::*;

    fn at(at: f64, lag: u64, ready: u32) -> Snapshot {
        let alerts = vec![AlertNow { name: "Lag".into(), firing: true }];
        let group = GroupSnapshot {
            lag,
            worst: lag,
            ready,
            wanted: 3,
            ceiling: 3,
            sent: 10_001,
            processed: 3797,
            alerts,
            ..GroupSnapshot::default()
        };
        Snapshot { at, groups: vec![group] }
    }

    #[test]
    fn a_line_holds_what_the_dashboard_shows_and_the_first_one_says_what_its_numbers_are() {
        let mut plain = Plain::default();
        let want = "12.3 s  lag 6,204 (max 6,204)  pods 2/3 of 3  processed 3,797 of 10,001  rebalances 0  firing: Lag";
        assert_eq!(plain.next(&at(12.3, 6204, 2)), Some(LEGEND.to_owned() + want));
        let next = plain.next(&at(12.4, 6204, 3));
        assert!(next.as_ref().is_some_and(|line| line.starts_with("12.4 s  lag")), "{next:?}");
    }

    #[test]
    fn moving_numbers_are_told_each_two_seconds_and_a_new_pod_at_once() {
        let mut plain = Plain::default();
        let said = [(0.0, 9, 1), (0.3, 8, 1), (0.6, 7, 2), (2.5, 6, 2), (2.6, 5, 2), (9.0, 5, 2)]
            .map(|(time, lag, ready)| plain.next(&at(time, lag, ready)).is_some());
        assert_eq!(said, [true, false, true, false, true, false]);
    }
}
