//! The story's figures: what was sent and processed, how long things took, what rebalances and the operator cost.
//! Computed from raw records and the timeline; nothing here asks anybody.

mod account;
mod rows;

use std::collections::BTreeMap;
use std::ops::Add;

use serde::Serialize;

pub use account::{Account, Counts, Handover, Sent};
pub use rows::{Row, count, group_rows, number, operator_rows};

use super::cost::Cost;
use super::requests::Requests;
use super::timeline::{GroupTimeline, first_when, peak, seconds_above_zero, value_at};

/// A group in which nobody processes anything for longer than this, though records wait, makes no progress.
pub const STALL_SECONDS: f64 = 0.5;

/// All of them, as figures.json holds them.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub groups: Vec<GroupFigures>,
    /// None where it was not measured.
    pub operator: Option<OperatorFigures>,
}

/// The figures of one group. Times are in seconds; none is what never happened or was not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupFigures {
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// Ready replicas when the load began, at most, and when all was done and scaled in.
    pub replicas: [u32; 3],
    /// From the topic's change to the autoscaler's maxReplicas, in milliseconds.
    pub topic_to_ceiling_ms: Option<f64>,
    pub load_to_first_pod: Option<f64>,
    /// Until as many were ready as the ceiling allows.
    pub load_to_all_pods: Option<f64>,
    /// Until nothing was left to process for good.
    pub load_to_drained: Option<f64>,
    /// From there to as many replicas as when the load began.
    pub drained_to_shrunk: Option<f64>,
    pub peak_lag: f64,
    pub rebalances: u32,
    /// Seconds in which nobody of the group processed anything, though records waited.
    pub stalled: f64,
    /// Seconds in which a partition with records waiting was between two pods, of all partitions.
    pub partitions_waited: f64,
    /// From the load to the first alert that fired.
    pub alert_fired_after: Option<f64>,
    /// From the load to when no alert fired any more.
    pub alert_resolved_after: Option<f64>,
}

/// What the operator cost, and the control plane that it is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorFigures {
    pub requests: Requests,
    /// Everybody's, the operator's among them.
    pub all_requests: Requests,
    pub operator: Cost,
    pub control_plane: Cost,
}

impl OperatorFigures {
    /// The operator's CPU seconds, memory and requests in percent of what the control plane used or was asked.
    pub fn shares(&self) -> [f64; 3] {
        #[allow(clippy::cast_precision_loss)] // Counts of requests are far below 2^52.
        let requests = (self.requests.all() as f64, self.all_requests.all() as f64);
        let cpu = (self.operator.cpu_seconds, self.control_plane.cpu_seconds);
        let memory = (self.operator.memory_mib, self.control_plane.memory_mib);
        [cpu, memory, requests].map(|(part, whole)| if whole > 0.0 { 100.0 * part / whole } else { 0.0 })
    }
}

impl GroupFigures {
    /// What was lost, in a sentence; none where every record was processed.
    pub fn loss(&self) -> Option<String> {
        let Counts { sent, lost, lost_records, .. } = &self.counts;
        let named = lost_records.join(", ");
        (*lost > 0).then(|| format!("group {} never processed {lost} of {sent} records: {named}", self.name))
    }

    /// Measures a group from what was seen of it. `load` is when the first record was sent; what was `sent` is by topic.
    pub fn measure(
        group: &GroupTimeline,
        account: &Account,
        sent: &Sent,
        load: f64,
        topic_to_ceiling_ms: Option<f64>,
    ) -> Self {
        let lag = group.total_lag();
        let drained = drained(&lag, load);
        let before = value_at(&group.ready, load).unwrap_or_default();
        let most = value_at(&group.ceiling, load).unwrap_or_else(|| peak(&group.ceiling));
        let more = |wanted: f64| first_when(&group.ready, load, |ready| ready >= wanted).map(|at| at - load);
        let shrunk = drained.and_then(|at| first_when(&group.ready, at, |ready| ready <= before.max(1.0)));
        let fired = fired(group, load);
        let after = shrunk.and_then(|at| value_at(&group.ready, at)).unwrap_or_else(|| last(&group.ready));
        Self {
            name: group.name.clone(),
            counts: account.counts(sent),
            replicas: [before, peak(&group.ready), after].map(whole),
            topic_to_ceiling_ms,
            load_to_first_pod: more(before + 1.0),
            load_to_all_pods: more(most),
            load_to_drained: drained.map(|at| at - load),
            drained_to_shrunk: drained.zip(shrunk).map(|(drained, shrunk)| shrunk - drained),
            peak_lag: peak(&lag),
            rebalances: whole(last(&group.rebalances)),
            stalled: account
                .stalls(&group.sent, STALL_SECONDS)
                .iter()
                .map(|(from, to)| to - from)
                .fold(0.0, Add::add),
            partitions_waited: partitions_waited(group, &account.handovers()),
            alert_fired_after: fired.map(|(from, _)| from - load),
            alert_resolved_after: fired.and_then(|(_, to)| to).map(|to| to - load),
        }
    }
}

/// When nothing was left for good, after the load.
fn drained(lag: &[(f64, f64)], load: f64) -> Option<f64> {
    let busy = lag.iter().rposition(|(at, lag)| *at >= load && *lag > 0.0)?;
    lag.get(busy + 1).map(|(at, _)| *at)
}

/// From when the first alert since the load fired to when none did any more; no end where one still does. What fired before
/// spoke of a group that was just being made.
fn fired(group: &GroupTimeline, load: f64) -> Option<(f64, Option<f64>)> {
    let firing = || group.alerts.iter().filter(|span| span.firing && span.from >= load);
    let from = firing().map(|span| span.from).reduce(f64::min)?;
    let ends: Option<Vec<f64>> = firing().map(|span| span.to).collect();
    Some((from, ends.and_then(|ends| ends.into_iter().reduce(f64::max))))
}

/// The time for which partitions that moved had records waiting between the last of the old pod and the first of the new.
fn partitions_waited(group: &GroupTimeline, handovers: &[Handover]) -> f64 {
    let lags: BTreeMap<&str, _> = group.lag.iter().map(|line| (line.label.as_str(), &line.points)).collect();
    let waited = |handover: &Handover| {
        let lag = lags.get(format!("{}/{}", handover.topic, handover.partition).as_str())?;
        Some(seconds_above_zero(lag, handover.left, handover.taken))
    };
    handovers.iter().filter_map(waited).fold(0.0, Add::add)
}

fn last(points: &[(f64, f64)]) -> f64 {
    points.last().map_or(0.0, |(_, value)| *value)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A count of pods or rebalances.
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Values that binary fractions hold exactly.
mod tests;
