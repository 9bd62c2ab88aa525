//! The figures as a table for people: each with a name, a value, and a sentence on what it means and how it was measured.

use super::{Counts, GroupFigures, OperatorFigures, STALL_SECONDS};
use crate::cost::Cost;
use crate::requests::Requests;

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: &'static str,
    /// None is what never happened or was not measured.
    pub value: Option<f64>,
    pub unit: &'static str,
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

/// A number with as many digits as a person reads, thousands apart.
pub fn number(value: f64) -> String {
    // An empty sum is -0.
    let value = value + 0.0;
    let rounded = if value.abs() >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    let (whole, rest) = rounded.split_once('.').map_or((rounded.as_str(), ""), |(whole, rest)| (whole, rest));
    let digits = whole.trim_start_matches('-');
    let mut text = if whole.starts_with('-') { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if rest.is_empty() { text } else { format!("{text}.{rest}") }
}

/// A count, thousands apart.
#[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
pub fn count(value: u64) -> String {
    number(value as f64)
}

/// The table of one group.
pub fn group_rows(group: &GroupFigures) -> Vec<Row> {
    [records(&group.counts), times(group), costs(group)].concat()
}

fn records(counts: &Counts) -> Vec<Row> {
    #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
    let count = |value: u64| Some(value as f64);
    let lost = match counts.lost_records.as_slice() {
        [] => "Every record that was sent is among those processed.".to_owned(),
        first => format!("Sent and processed by nobody, among them {}.", first.join(", ")),
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
            "Different records in the consumers' own logs.",
        ),
        Row::new(
            "Duplicates",
            count(counts.duplicates),
            "records",
            "Processed again after a kill or a rebalance: at least once means that this may happen.",
        ),
        Row::new("Lost", count(counts.lost), "records", lost),
    ]
}

fn times(group: &GroupFigures) -> Vec<Row> {
    vec![
        Row::new(
            "Topic change to maxReplicas",
            group.topic_to_ceiling_ms,
            "ms",
            "From the KafkaTopic's change to the autoscaler's, as the API server's audit log has both.",
        ),
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
            "Until as many pods were ready as the ceiling allows.",
        ),
        Row::new(
            "Load to drained",
            group.load_to_drained,
            "s",
            "Until the broker knew of no record behind, in any partition.",
        ),
        Row::new(
            "Drained to scaled in",
            group.drained_to_shrunk,
            "s",
            "From there to as many pods as before the load; the stabilization window is the larger part.",
        ),
        Row::new(
            "Alert fired after",
            group.alert_fired_after,
            "s",
            "From the first record sent to the first alert that fired, in Prometheus' own API.",
        ),
        Row::new(
            "Alert resolved after",
            group.alert_resolved_after,
            "s",
            "From the first record sent to when none fired any more.",
        ),
    ]
}

fn costs(group: &GroupFigures) -> Vec<Row> {
    vec![
        Row::new(
            "Peak lag",
            Some(group.peak_lag),
            "records",
            "The most records behind, all partitions together, as the broker knows them.",
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
                "Times longer than {STALL_SECONDS} s in which nobody of the group processed anything, though records waited."
            ),
        ),
        Row::new(
            "Partitions without a consumer",
            Some(group.partitions_waited),
            "partition-s",
            "For each partition that moved, from the old pod's last record to the new one's first, while records waited in it.",
        ),
    ]
}

/// The table of the operator's cost.
pub fn operator_rows(figures: &OperatorFigures) -> Vec<Row> {
    #[allow(clippy::cast_precision_loss)] // Counts of requests are far below 2^52.
    let count = |value: u64| Some(value as f64);
    let [cpu, memory, asked] = figures.shares();
    let (Requests { reads, writes, watches, lease }, Cost { cpu_seconds, memory_mib }) =
        (figures.requests, figures.operator);
    let of = |what: &str, whole: f64| format!("{what} {}.", number(whole));
    #[allow(clippy::cast_precision_loss)]
    let all = figures.all_requests.all() as f64;
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
        Row::new("Operator's watches", count(watches), "requests", "Begun; each lasts for minutes."),
        Row::new("Operator's Lease", count(lease), "requests", "What leader election costs."),
        Row::new("Share of all requests", Some(asked), "%", of("Everybody's, in the same log:", all)),
        Row::new(
            "Operator's CPU",
            Some(cpu_seconds),
            "s",
            "User and system time of all its processes over the story, as the kernel counts it.",
        ),
        Row::new(
            "Share of the control plane's CPU",
            Some(cpu),
            "%",
            of(
                "Of etcd, API server, controller-manager and scheduler; their seconds:",
                figures.control_plane.cpu_seconds,
            ),
        ),
        Row::new("Operator's memory", Some(memory_mib), "MiB", "The peaks of its processes, added up."),
        Row::new(
            "Share of the control plane's memory",
            Some(memory),
            "%",
            of("Against the same four; their MiB:", figures.control_plane.memory_mib),
        ),
    ]
}
