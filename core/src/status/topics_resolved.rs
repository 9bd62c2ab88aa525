//! The condition TopicsResolved: whether every topic's partitions are known.

use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, yes};
use crate::ceiling::Ceiling;

pub(super) fn topics_resolved(ceiling: &Ceiling) -> ConditionValue {
    let problems: Vec<&(Reason, String)> =
        ceiling.counts.iter().filter_map(|count| count.problem.as_ref()).collect();
    if let Some((reason, _)) = problems.first() {
        let sentences: Vec<&str> = problems.iter().map(|(_, sentence)| sentence.as_str()).collect();
        return no(*reason, sentences.join("; "));
    }
    let partitions = ceiling.partitions.unwrap_or_default();
    let sentence = match ceiling.counts.len() {
        1 => format!("the topic has {partitions} partitions"),
        topics => format!("{partitions} partitions of {topics} topics count"),
    };
    yes(Reason::Resolved, sentence)
}
