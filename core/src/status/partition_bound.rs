//! The condition PartitionBound: whether the group is at its ceiling and still behind.

use kcg_api::ValidGroup;
use kcg_api::ceiling::consumers;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, unknown, yes};
use crate::ceiling::Ceiling;
use crate::facts::Observed;
use crate::lag::Tolerance;

pub(super) fn partition_bound(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> ConditionValue {
    if !ceiling.is_known(group) {
        return unknown(
            Reason::Pending,
            "the partitions of no topic are known, and spec.maxReplicas is not set",
        );
    }
    let metrics = group.metrics.lag_metrics();
    let max = in_force(group, observed, ceiling);
    let tolerance = Tolerance::of_group(group);
    let percent = tolerance.percent();
    let Some(is_bound) = observed
        .autoscaler(&group.uid)
        .and_then(|facts| facts.is_bound(max, &metrics, group.lag_limit, tolerance))
    else {
        return unknown(Reason::Pending, "the lag is not known yet");
    };
    if !is_bound {
        return no(
            Reason::RoomToScale,
            format!("more consumers can be added, or the lag is at most {percent} % above its limit"),
        );
    }
    let behind = format!("the lag is more than {percent} % above {} records", group.lag_limit);
    if max != ceiling.max {
        return yes(
            Reason::AtCeiling,
            format!(
                "{max} consumers run, {behind}, and the paused group cannot have more: set spec.paused to false"
            ),
        );
    }
    let per_consumer = group.consumer.partitions_per_consumer;
    let busy = ceiling.partitions.map(|partitions| consumers(partitions, per_consumer));
    let (why, cure) = if group.cap == Some(ceiling.max) && busy.is_none_or(|busy| busy > ceiling.max) {
        ("spec.maxReplicas allows no more", "raise spec.maxReplicas, or make the consumer faster")
    } else {
        ("more would be idle", "add partitions to the topic, or make the consumer faster")
    };
    yes(Reason::AtCeiling, format!("{max} consumers run, {why}, and {behind}: {cure}"))
}

/// The HorizontalPodAutoscaler's maxReplicas: the ceiling, or the earlier value if the group is
/// paused.
pub(super) fn in_force(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> i32 {
    let left = observed.autoscaler(&group.uid).filter(|_| group.paused);
    left.map_or(ceiling.max, |facts| facts.max_replicas)
}
