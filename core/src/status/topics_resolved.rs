//! The condition TopicsResolved: whether every topic's partitions are known.

use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, unknown, yes};
use crate::ceiling::{Ceiling, Severity};
use crate::text::MAX_LISTED;

/// The gravest finding decides.
pub(super) fn topics_resolved(ceiling: &Ceiling) -> ConditionValue {
    let findings = ceiling.findings();
    let mut sentences: Vec<&str> =
        findings.iter().take(MAX_LISTED).map(|finding| finding.sentence.as_str()).collect();
    if findings.len() > MAX_LISTED {
        sentences.push("and others");
    }
    match findings.first().map(|finding| (finding.severity, finding.reason)) {
        Some((Severity::Problem, reason)) => no(reason, sentences.join("; ")),
        Some((Severity::Pending, reason)) => unknown(reason, sentences.join("; ")),
        Some((Severity::Note, reason)) => {
            yes(reason, format!("{}; {}", partitions(ceiling), sentences.join("; ")))
        }
        None => yes(Reason::Resolved, partitions(ceiling)),
    }
}

fn partitions(ceiling: &Ceiling) -> String {
    let partitions = ceiling.partitions.unwrap_or_default();
    match ceiling.topic_partitions().len() {
        1 => format!("the topic has {partitions} partitions"),
        topics => format!("{partitions} partitions of {topics} topics count"),
    }
}
