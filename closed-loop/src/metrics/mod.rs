//! The metrics of a run: what was sent and processed, how long things took, what rebalances and the
//! operator cost. Computed from the processed records and the timeline, without I/O.

mod account;
mod rows;

use std::collections::BTreeMap;
use std::ops::Add;

use serde::Serialize;

pub use account::{Account, Counts, Handover, Sent};
pub use rows::{Row, group_rows, operator_rows};

use crate::observe::cost::Cost;
use crate::observe::requests::Requests;
use crate::timeline::{GroupTimeline, first_when, last, peak, seconds_above_zero, value_at};

/// A group makes no progress if records wait and none is processed for longer than this, in
/// seconds.
pub const STALL_SECONDS: f64 = 0.5;

/// The metrics of all groups and of the operator, as figures.json holds them.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunMetrics {
    /// One for each group.
    pub groups: Vec<GroupMetrics>,
    /// None if it was not measured.
    pub operator: Option<OperatorMetrics>,
}

/// The metrics of one group. Times are in seconds; a value is none if it never happened or was not
/// measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupMetrics {
    /// The group's name.
    pub name: String,
    /// Records sent, processed and lost.
    #[serde(flatten)]
    pub counts: Counts,
    /// Ready replicas when the load began, the most of them, and those after scaling in.
    pub replicas: [u32; 3],
    /// From the topic's change to the autoscaler's maxReplicas, in milliseconds.
    pub topic_to_ceiling_ms: Option<f64>,
    /// From the first record sent to one more ready pod.
    pub load_to_first_pod: Option<f64>,
    /// From the first record sent until as many pods were ready as the ceiling allows.
    pub load_to_all_pods: Option<f64>,
    /// From the first record sent until no record was left.
    pub load_to_drained: Option<f64>,
    /// From then to as many replicas as when the load began.
    pub drained_to_shrunk: Option<f64>,
    /// The most records behind, in all partitions together.
    pub peak_lag: f64,
    /// Generations of the group on the broker.
    pub rebalances: u32,
    /// Seconds in which records waited and the group processed none.
    pub stalled: f64,
    /// Seconds in which a partition with waiting records had no consumer, summed over the
    /// partitions.
    pub partitions_waited: f64,
    /// From the first record sent to the first alert that fired.
    pub alert_fired_after: Option<f64>,
    /// From the first record sent until no alert fired any more.
    pub alert_resolved_after: Option<f64>,
}

/// The cost of the operator, and of the control plane for comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorMetrics {
    /// The operator's requests to the API server.
    pub requests: Requests,
    /// The requests of all clients, the operator included.
    pub all_requests: Requests,
    /// The cost of the operator's processes.
    pub operator: Cost,
    /// The cost of the control plane's processes.
    pub control_plane: Cost,
}

impl OperatorMetrics {
    /// The operator's CPU time and memory in percent of the control plane's, and its requests in
    /// percent of all requests.
    pub fn shares(&self) -> [f64; 3] {
        #[allow(clippy::cast_precision_loss)] // Counts of requests are far below 2^52.
        let requests = (self.requests.all() as f64, self.all_requests.all() as f64);
        let cpu = (self.operator.cpu_seconds, self.control_plane.cpu_seconds);
        let memory = (self.operator.memory_mib, self.control_plane.memory_mib);
        [cpu, memory, requests].map(|(part, whole)| if whole > 0.0 { 100.0 * part / whole } else { 0.0 })
    }
}

impl GroupMetrics {
    /// A sentence that names lost records; none if every record was processed.
    pub fn loss(&self) -> Option<String> {
        let Counts { sent, lost, lost_records, .. } = &self.counts;
        let named = lost_records.join(", ");
        (*lost > 0).then(|| format!("group {} never processed {lost} of {sent} records: {named}", self.name))
    }

    /// Computes the metrics of a group. `load` is the time of the first record sent.
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

/// When the lag became zero for the last time after the load.
fn drained(lag: &[(f64, f64)], load: f64) -> Option<f64> {
    let busy = lag.iter().rposition(|(at, lag)| *at >= load && *lag > 0.0)?;
    lag.get(busy + 1).map(|(at, _)| *at)
}

/// When the first alert since the load fired, and when the last one ended; no end while one fires.
/// Alerts before the load are ignored: they belong to a group that was still being created.
fn fired(group: &GroupTimeline, load: f64) -> Option<(f64, Option<f64>)> {
    let firing = || group.alerts.iter().filter(|span| span.firing && span.from >= load);
    let from = firing().map(|span| span.from).reduce(f64::min)?;
    let ends: Option<Vec<f64>> = firing().map(|span| span.to).collect();
    Some((from, ends.and_then(|ends| ends.into_iter().reduce(f64::max))))
}

/// For each partition that moved, the time with waiting records between the old pod's last record
/// and the new pod's first.
fn partitions_waited(group: &GroupTimeline, handovers: &[Handover]) -> f64 {
    let lags: BTreeMap<&str, _> = group.lag.iter().map(|line| (line.label.as_str(), &line.points)).collect();
    let waited = |handover: &Handover| {
        let lag = lags.get(format!("{}/{}", handover.topic, handover.partition).as_str())?;
        Some(seconds_above_zero(lag, handover.left, handover.taken))
    };
    handovers.iter().filter_map(waited).fold(0.0, Add::add)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Counts of pods and rebalances.
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Values that binary fractions hold exactly.
mod tests;
