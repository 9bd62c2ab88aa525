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
    let tolerance = observed.tolerance(group);
    let percent = tolerance.percent();
    let other = other_tolerance(group, tolerance);
    let Some(is_bound) =
        observed.autoscaler(&group.uid).and_then(|facts| facts.is_bound(max, &metrics, group.lag_limit))
    else {
        return unknown(Reason::Pending, format!("the lag is not known yet{other}"));
    };
    if !is_bound {
        return no(
            Reason::RoomToScale,
            format!("more consumers can be added, or the lag is at most {percent} % above its limit{other}"),
        );
    }
    let behind = format!("the lag is more than {percent} % above {} records", group.lag_limit);
    if max != ceiling.max {
        return yes(
            Reason::AtCeiling,
            format!(
                "{max} consumers run, {behind}, and the paused group cannot have more: set spec.paused to false{other}"
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
    yes(Reason::AtCeiling, format!("{max} consumers run, {why}, and {behind}: {cure}{other}"))
}

/// What to add if the HorizontalPodAutoscaler does not have the tolerance of the spec.
fn other_tolerance(group: &ValidGroup, live: Tolerance) -> String {
    let stated = Tolerance::of_group(group);
    if live == stated || group.paused {
        return String::new();
    }
    format!(
        ". The HorizontalPodAutoscaler tolerates {} %, and the spec {} %: before version 1.35, Kubernetes ignores spec.scaling.behavior.scaleUp.tolerance, or another field manager set it",
        live.percent(),
        stated.percent()
    )
}

/// The HorizontalPodAutoscaler's maxReplicas: the ceiling, or the earlier value if the group is
/// paused.
pub(super) fn in_force(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> i32 {
    let left = observed.autoscaler(&group.uid).filter(|_| group.paused);
    left.map_or(ceiling.max, |facts| facts.max_replicas)
}
