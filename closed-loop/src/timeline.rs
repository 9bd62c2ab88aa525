//! The observations over the time of a run. Values only, from which the report is drawn.

use serde::Serialize;

/// Values by time: seconds since the start of the run, and the value.
pub type Points = Vec<(f64, f64)>;

/// Everything observed in one run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// When the run ended.
    pub end: f64,
    /// When each step began.
    pub steps: Vec<Moment>,
    /// The actions and events in between: a topic grew, a consumer was killed.
    pub marks: Vec<Moment>,
    /// The observations of each group.
    pub groups: Vec<GroupTimeline>,
}

/// A named moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// In seconds.
    pub at: f64,
    /// Its name.
    pub text: String,
}

/// The observations of one consumer group.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupTimeline {
    /// The group's name.
    pub name: String,
    /// The group's averageRecordsLagLimit, in records; none if the lag is not compared with it.
    pub limit: Option<f64>,
    /// Records behind, by `topic/partition`.
    pub lag: Vec<Line>,
    /// Replicas that the autoscaler wants: a point for each change, as in the next two.
    pub wanted: Points,
    /// Replicas that are ready.
    pub ready: Points,
    /// The autoscaler's maxReplicas.
    pub ceiling: Points,
    /// Rebalances so far: a point for each.
    pub rebalances: Points,
    /// Records a second, by pod.
    pub throughput: Vec<Line>,
    /// Records sent so far.
    pub sent: Points,
    /// The group's alerts.
    pub alerts: Vec<AlertSpan>,
}

/// One of several lines of a plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What it shows.
    pub label: String,
    /// Its values.
    pub points: Points,
}

/// A time during which an alert was in one state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertSpan {
    /// The alert's name.
    pub name: String,
    /// Whether it fires; otherwise it is pending.
    pub firing: bool,
    /// When it was first seen.
    pub from: f64,
    /// When it was seen no longer; none while it lasts.
    pub to: Option<f64>,
}

impl GroupTimeline {
    /// The lag of all partitions together, with a point for each change.
    pub fn total_lag(&self) -> Points {
        let mut times: Vec<f64> =
            self.lag.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at)).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let total = |at| self.lag.iter().filter_map(|line| value_at(&line.points, at)).sum();
        times.into_iter().map(|at| (at, total(at))).collect()
    }
}

/// The value at a time: the last one up to it.
pub fn value_at(points: &[(f64, f64)], at: f64) -> Option<f64> {
    let next = points.partition_point(|(time, _)| *time <= at);
    next.checked_sub(1).map(|last| points[last].1)
}

/// The last value, or 0.
pub fn last(points: &[(f64, f64)]) -> f64 {
    points.last().map_or(0.0, |(_, value)| *value)
}

/// The largest value, or 0.
pub fn peak(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// When a value first met `condition`, at `from` or later. The value that holds at `from` counts.
pub fn first_when(points: &[(f64, f64)], from: f64, condition: impl Fn(f64) -> bool) -> Option<f64> {
    if value_at(points, from).is_some_and(&condition) {
        return Some(from);
    }
    points.iter().find(|(at, value)| *at >= from && condition(*value)).map(|(at, _)| *at)
}

/// How long the value was above zero in `[from, to]`, in seconds.
pub fn seconds_above_zero(points: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let ends = points.iter().skip(1).map(|(at, _)| *at).chain([f64::INFINITY]);
    let above = points.iter().zip(ends).filter(|((_, value), _)| *value > 0.0);
    above.map(|((start, _), end)| (end.min(to) - start.max(from)).max(0.0)).sum()
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Values that binary fractions hold exactly.
mod tests {
    use super::*;

    const STEPS: [(f64, f64); 4] = [(1.0, 1.0), (3.0, 0.0), (5.0, 3.0), (6.0, 0.0)];

    #[test]
    fn a_value_holds_until_the_next() {
        for (at, want) in [(0.5, None), (1.0, Some(1.0)), (4.9, Some(0.0)), (9.0, Some(0.0))] {
            assert_eq!(value_at(&STEPS, at), want, "{at}");
        }
        assert_eq!(peak(&STEPS), 3.0);
    }

    #[test]
    fn the_first_time_may_be_the_start_of_the_search() {
        assert_eq!(first_when(&STEPS, 2.0, |value| value == 1.0), Some(2.0));
        assert_eq!(first_when(&STEPS, 2.0, |value| value == 3.0), Some(5.0));
        assert_eq!(first_when(&STEPS, 6.5, |value| value == 3.0), None);
    }

    #[test]
    fn time_above_zero_is_cut_at_both_ends() {
        for (from, to, want) in [(0.0, 9.0, 3.0), (2.0, 5.5, 1.5), (3.0, 5.0, 0.0)] {
            assert_eq!(seconds_above_zero(&STEPS, from, to), want, "{from} to {to}");
        }
    }

    #[test]
    fn a_partition_adds_to_the_total_once_its_lag_is_known() {
        let line = |points: &[(f64, f64)]| Line { label: String::new(), points: points.to_vec() };
        let group = GroupTimeline {
            lag: vec![line(&[(1.0, 10.0), (3.0, 5.0)]), line(&[(2.0, 1.0), (3.0, 2.0)])],
            ..GroupTimeline::default()
        };
        assert_eq!(group.total_lag(), [(1.0, 10.0), (2.0, 11.0), (3.0, 7.0)]);
    }
}
