//! The condition PartitionBound: whether the group is at its ceiling and still behind.

use kcg_api::ValidGroup;
use kcg_api::ceiling::consumers;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, unknown, yes};
use crate::ceiling::Ceiling;
use crate::facts::Observed;
use crate::lag::is_bound;

pub(super) fn partition_bound(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> ConditionValue {
    if ceiling.partitions.is_none() {
        return unknown(Reason::Pending, "the partitions of no topic are known");
    }
    let Some((facts, lag)) =
        observed.autoscaler(&group.uid).and_then(|facts| Some((facts, facts.lag_milli?)))
    else {
        return unknown(Reason::Pending, "the lag is not known yet");
    };
    let max = in_force(group, observed, ceiling);
    if !is_bound(facts.current_replicas, max, lag, group.lag_limit) {
        return no(
            Reason::RoomToScale,
            "more consumers can be added, or the lag is at most 10 % above its limit",
        );
    }
    if max != ceiling.max {
        return yes(
            Reason::AtCeiling,
            format!(
                "{max} consumers run, the lag is more than 10 % above {} records, and the paused group cannot have more: set spec.paused to false",
                group.lag_limit
            ),
        );
    }
    let per_consumer = group.consumer.partitions_per_consumer;
    let busy = ceiling.partitions.map(|partitions| consumers(partitions, per_consumer));
    let cure = if group.cap == Some(ceiling.max) && busy > Some(ceiling.max) {
        "raise spec.maxReplicas"
    } else {
        "add partitions to the topic, or make the consumer faster"
    };
    yes(
        Reason::AtCeiling,
        format!(
            "{} consumers run, more would be idle, and the lag is more than 10 % above {} records: {cure}",
            ceiling.max, group.lag_limit
        ),
    )
}

/// The HorizontalPodAutoscaler's maxReplicas: the ceiling, or the earlier value if the group is
/// paused.
pub(super) fn in_force(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> i32 {
    let left = observed.autoscaler(&group.uid).filter(|_| group.paused);
    left.map_or(ceiling.max, |facts| facts.max_replicas)
}
