//! The outcome of a run in one sentence.

use crate::metrics::GroupMetrics;
use crate::results::Results;
use crate::text::number;

/// Whether the run lost nothing, and a sentence about it.
pub(super) fn of(results: &Results) -> (bool, String) {
    let groups: Vec<&GroupMetrics> = results.groups().map(|(_, metrics)| metrics).collect();
    #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
    let sum = |count: fn(&GroupMetrics) -> u64| groups.iter().copied().map(count).sum::<u64>() as f64;
    let (sent, lost) = (sum(|group| group.counts.sent), sum(|group| group.counts.lost));
    let processed = sum(|group| group.counts.processed);
    let counts = format!(
        "{} records sent, {} processed at least once, {} lost",
        number(sent),
        number(processed),
        number(lost)
    );
    let scaling = match groups.as_slice() {
        [] => "no group was measured".to_owned(),
        [group] => {
            let [before, most, after] = group.replicas;
            let took = group.load_to_drained.zip(group.drained_to_shrunk).map(|(load, rest)| load + rest);
            let took = took.map_or_else(String::new, |seconds| format!(" in {seconds:.0} s"));
            format!("{before} → {most} → {after} consumers{took}")
        }
        groups => {
            let most: u32 = groups.iter().map(|group| group.replicas[1]).sum();
            let back = groups.iter().filter(|group| group.drained_to_shrunk.is_some()).count();
            format!(
                "{} groups grew to {most} consumers together, and {back} of them scaled in again",
                groups.len()
            )
        }
    };
    (lost == 0.0 && !groups.is_empty(), format!("{counts}; {scaling}."))
}
