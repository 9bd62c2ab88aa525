//! Progress as plain lines: one at once for each event, and one now and then while only numbers
//! move.

use std::collections::BTreeSet;

use super::GroupState;
use crate::observe::alerts::OpenAlert;
use crate::text::count;

/// The least time in seconds between two lines that differ only in moving numbers.
const INTERVAL: f64 = 2.0;

/// Explains the numbers, before the first line.
const LEGEND: &str =
    "lag: records not committed, and those of the worst partition; pods: ready/wanted of the ceiling";

/// The progress printed last.
#[derive(Debug, Default)]
pub(super) struct Progress {
    last: Option<(f64, Totals)>,
}

impl Progress {
    /// The line to print now, if any. `at` is in seconds.
    pub(super) fn next(&mut self, at: f64, groups: &[GroupState]) -> Option<String> {
        let now = Totals::of(groups);
        let is_due = self.last.as_ref().is_none_or(|(printed, last)| {
            now.differs_by_an_event(last) || (*last != now && at - printed >= INTERVAL)
        });
        let legend = match (&self.last, groups.len()) {
            (Some(_), _) => String::new(),
            (None, 1) => format!("({LEGEND})\n"),
            (None, many) => format!("(of all {many} groups together, {LEGEND})\n"),
        };
        is_due.then(|| {
            let line = legend + &now.line(at);
            self.last = Some((at, now));
            line
        })
    }
}

/// All groups together.
#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    lag: u64,
    worst: u64,
    ready: u64,
    wanted: u64,
    ceiling: u64,
    sent: u64,
    processed: u64,
    rebalances: u64,
    alerts: Vec<OpenAlert>,
}

impl Totals {
    fn of(groups: &[GroupState]) -> Self {
        let mut all = Self::default();
        for group in groups {
            all.lag += group.behind();
            all.worst = all.worst.max(group.worst());
            all.ready += group.ready();
            all.wanted += group.wanted();
            all.ceiling += group.ceiling();
            all.sent += group.sent();
            all.processed += group.processed;
            all.rebalances += group.rebalances;
            all.alerts.extend(group.alerts.iter().cloned());
        }
        all
    }

    fn differs_by_an_event(&self, last: &Self) -> bool {
        let counts = |totals: &Self| (totals.ready, totals.wanted, totals.ceiling, totals.rebalances);
        counts(last) != counts(self) || last.alerts != self.alerts
    }

    fn line(&self, at: f64) -> String {
        let Self { lag, worst, ready, wanted, ceiling, sent, processed, rebalances, alerts } = self;
        // The broker is polled less often than the consumers' logs are read.
        let sent = if sent < processed { "?".to_owned() } else { count(*sent) };
        let [lag, worst, processed] = [lag, worst, processed].map(|value| count(*value));
        let mut line = format!(
            "{at:.1} s  lag {lag} (max {worst})  pods {ready}/{wanted} of {ceiling}  processed {processed} of {sent}  \
             rebalances {rebalances}"
        );
        let named =
            |firing| alerts.iter().filter(move |alert| alert.firing == firing).map(|alert| &*alert.name);
        let firing: BTreeSet<&str> = named(true).collect();
        // One that fires for a group or a partition may be pending for another.
        let pending: BTreeSet<&str> = named(false).filter(|name| !firing.contains(name)).collect();
        for (names, word) in [(firing, "firing"), (pending, "pending")] {
            if !names.is_empty() {
                let names = Vec::from_iter(names).join(", ");
                line.extend(["  ", word, ": ", &names]);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::broker::GroupLag;
    use crate::observe::replicas::ReplicaHistory;

    fn group(lag: u32, ready: u32) -> Vec<GroupState> {
        let points = |value: u32| vec![(0.0, f64::from(value))];
        vec![GroupState {
            name: "kconsumer".into(),
            replicas: ReplicaHistory { ready: points(ready), wanted: points(3), ceiling: points(3) },
            lag: GroupLag { partitions: [("t/0".to_owned(), points(lag))].into(), sent: points(10_001) },
            processed: 3797,
            rebalances: 0,
            alerts: vec![OpenAlert { name: "Lag".into(), firing: true }],
        }]
    }

    #[test]
    fn a_line_shows_lag_pods_and_alerts_and_the_first_one_explains_the_numbers() {
        let mut progress = Progress::default();
        let want = "12.3 s  lag 6,204 (max 6,204)  pods 2/3 of 3  processed 3,797 of 10,001  rebalances 0  firing: Lag";
        assert_eq!(progress.next(12.3, &group(6204, 2)), Some(format!("({LEGEND})\n{want}")));
        let next = progress.next(12.4, &group(6204, 3));
        assert!(next.as_ref().is_some_and(|line| line.starts_with("12.4 s  lag")), "{next:?}");
    }

    #[test]
    fn moving_numbers_are_printed_every_two_seconds_and_a_new_pod_at_once() {
        let mut progress = Progress::default();
        let printed = [(0.0, 9, 1), (0.3, 8, 1), (0.6, 7, 2), (2.5, 6, 2), (2.6, 5, 2), (9.0, 5, 2)]
            .map(|(at, lag, ready)| progress.next(at, &group(lag, ready)).is_some());
        assert_eq!(printed, [true, false, true, false, true, false]);
    }

    #[test]
    fn several_groups_add_up_in_one_line() {
        let mut groups = [group(10, 1), group(20, 2)].concat();
        groups[1].alerts[0].firing = false;
        let line = Progress::default().next(1.0, &groups).unwrap_or_default();
        assert!(line.starts_with("(of all 2 groups together, lag"), "{line}");
        assert!(line.contains("lag 30 (max 20)  pods 3/6 of 6  processed 7,594 of 20,002"), "{line}");
        assert!(line.ends_with("firing: Lag"), "{line}");
    }
}
