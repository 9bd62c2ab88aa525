//! The metrics as a table: each with a name, a value, and a sentence that explains it.

use super::{Counts, GroupMetrics, OperatorMetrics, STALL_SECONDS};
use crate::observe::cost::Cost;
use crate::observe::requests::Requests;
use crate::text::number;

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The metric's name.
    pub name: &'static str,
    /// None if it never happened or was not measured.
    pub value: Option<f64>,
    /// The unit; empty for a plain number.
    pub unit: &'static str,
    /// Its meaning, and how it was measured.
    pub meaning: String,
}

impl Row {
    fn new(name: &'static str, value: Option<f64>, unit: &'static str, meaning: impl Into<String>) -> Self {
        Self { name, value, unit, meaning: meaning.into() }
    }

    /// The value with its unit.
    pub fn text(&self) -> String {
        self.value.map_or_else(
            || "not seen".into(),
            |value| format!("{} {}", number(value), self.unit).trim().into(),
        )
    }
}

/// The table of one group.
pub fn group_rows(group: &GroupMetrics) -> Vec<Row> {
    [records(&group.counts), times(group), costs(group)].concat()
}

fn records(counts: &Counts) -> Vec<Row> {
    #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
    let count = |value: u64| Some(value as f64);
    let lost = match counts.lost_records.as_slice() {
        [] => "Every record that was sent is among those processed.".to_owned(),
        first => format!("Sent and never processed, among them {}.", first.join(", ")),
    };
    vec![
        Row::new(
            "Sent",
            count(counts.sent),
            "records",
            "Confirmed to the producer by the broker, end marker included.",
        ),
        Row::new(
            "Processed at least once",
            count(counts.processed),
            "records",
            "Different records in the consumers' logs.",
        ),
        Row::new(
            "Duplicates",
            count(counts.duplicates),
            "records",
            "Processed again after a kill or a rebalance, which at-least-once delivery allows.",
        ),
        Row::new("Lost", count(counts.lost), "records", lost),
    ]
}

fn times(group: &GroupMetrics) -> Vec<Row> {
    // Not every scenario changes a topic.
    let ceiling = group.topic_to_ceiling_ms.map(|took| {
        Row::new(
            "Topic change to maxReplicas",
            Some(took),
            "ms",
            "From the KafkaTopic's change to the autoscaler's, both from the API server's audit log.",
        )
    });
    let since_load = [
        Row::new(
            "Load to first new pod",
            group.load_to_first_pod,
            "s",
            "From the first record sent to one more pod ready than before.",
        ),
        Row::new(
            "Load to all pods",
            group.load_to_all_pods,
            "s",
            "From the first record sent until as many pods were ready as the ceiling allows.",
        ),
        Row::new(
            "Load to drained",
            group.load_to_drained,
            "s",
            "From the first record sent until the broker reported no lag in any partition.",
        ),
        Row::new(
            "Drained to scaled in",
            group.drained_to_shrunk,
            "s",
            "From then to as many pods as before the load; most of it is the stabilization window.",
        ),
        Row::new(
            "Alert fired after",
            group.alert_fired_after,
            "s",
            "From the first record sent to the first alert that fired, from Prometheus' API.",
        ),
        Row::new(
            "Alert resolved after",
            group.alert_resolved_after,
            "s",
            "From the first record sent until no alert fired any more.",
        ),
    ];
    ceiling.into_iter().chain(since_load).collect()
}

fn costs(group: &GroupMetrics) -> Vec<Row> {
    vec![
        Row::new(
            "Peak lag",
            Some(group.peak_lag),
            "records",
            "The most records behind in all partitions together, from the broker.",
        ),
        Row::new(
            "Rebalances",
            Some(f64::from(group.rebalances)),
            "",
            "Generations of the group on the broker.",
        ),
        Row::new(
            "No progress",
            Some(group.stalled),
            "s",
            format!(
                "Sum of the times longer than {STALL_SECONDS} s in which records waited and the group processed none."
            ),
        ),
        Row::new(
            "Partitions without a consumer",
            Some(group.partitions_waited),
            "partition-s",
            "For each partition that moved, from the old pod's last record to the new pod's first, while records waited in it.",
        ),
    ]
}

/// The table of the operator's costs.
pub fn operator_rows(metrics: &OperatorMetrics) -> Vec<Row> {
    #[allow(clippy::cast_precision_loss)] // Counts of requests are far below 2^52.
    let count = |value: u64| Some(value as f64);
    let [cpu, memory, asked] = metrics.shares();
    let (Requests { reads, writes, watches, lease }, Cost { cpu_seconds, memory_mib }) =
        (metrics.requests, metrics.operator);
    let of = |what: &str, whole: f64| format!("{what} {}.", number(whole));
    #[allow(clippy::cast_precision_loss)]
    let all = metrics.all_requests.all() as f64;
    vec![
        Row::new(
            "Operator's reads",
            count(reads),
            "requests",
            "Gets and lists by the operator's ServiceAccounts, in the API server's audit log.",
        ),
        Row::new(
            "Operator's writes",
            count(writes),
            "requests",
            "Creations, changes and deletions, status and Events included.",
        ),
        Row::new(
            "Operator's watches",
            count(watches),
            "requests",
            "Counted when they start; each lasts for minutes.",
        ),
        Row::new("Operator's Lease", count(lease), "requests", "Requests for leader election."),
        Row::new("Share of all requests", Some(asked), "%", of("Of all clients, in the same log:", all)),
        Row::new(
            "Operator's CPU",
            Some(cpu_seconds),
            "s",
            "User and system time of all its processes over the run, as the kernel counts it.",
        ),
        Row::new(
            "Share of the control plane's CPU",
            Some(cpu),
            "%",
            of(
                "Compared with etcd, API server, controller-manager and scheduler; their seconds:",
                metrics.control_plane.cpu_seconds,
            ),
        ),
        Row::new("Operator's memory", Some(memory_mib), "MiB", "The sum of the peaks of its processes."),
        Row::new(
            "Share of the control plane's memory",
            Some(memory),
            "%",
            of("Compared with the same four; their MiB:", metrics.control_plane.memory_mib),
        ),
    ]
}
