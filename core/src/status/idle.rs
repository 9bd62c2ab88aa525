//! Condition Ready, if more consumers run than the partitions keep busy.
//!
//! A working autoscaler removes them at its next sync, so that moment is not reported. Those that
//! stay are: the autoscaler of a paused group still allows them, or the autoscaler cannot scale.

use kcg_api::ValidGroup;
use kcg_api::ceiling::consumers;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, yes};
use crate::ceiling::Ceiling;
use crate::facts::Observed;

pub(super) fn idle(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> Option<ConditionValue> {
    let partitions = ceiling.all_partitions()?;
    let busy = consumers(partitions, group.consumer.partitions_per_consumer);
    let deployment = observed.deployment(&group.uid)?;
    // A rollout's surge is above spec.replicas, and pods that are about to go are above it, too.
    let running = deployment.wanted.min(deployment.replicas);
    if running <= busy {
        return None;
    }
    let cure = why_they_stay(group, observed, busy)?;
    let idle = running - busy;
    Some(yes(
        Reason::IdleConsumers,
        format!(
            "{running} consumers run, but the partitions ({partitions}) keep only {busy} busy ({idle} idle); {cure}"
        ),
    ))
}

/// Why the autoscaler does not remove them, and the cure; `None` if it is about to remove them.
fn why_they_stay(group: &ValidGroup, observed: &Observed, busy: i32) -> Option<String> {
    let by_hand = format!("kubectl scale deployment {} --replicas={busy}", group.name);
    let Some(autoscaler) = observed.autoscaler(&group.uid) else {
        return Some(format!("no HorizontalPodAutoscaler exists to remove them: {by_hand}"));
    };
    // Only a paused group's autoscaler keeps a maximum from earlier partitions, and it keeps it
    // until the end of the pause.
    if group.paused && autoscaler.max_replicas > busy {
        return Some(format!(
            "the paused group's HorizontalPodAutoscaler still allows {}: set spec.paused to false",
            autoscaler.max_replicas
        ));
    }
    let words = autoscaler.unable.as_ref()?;
    Some(format!("the HorizontalPodAutoscaler cannot scale ({words}); until it can: {by_hand}"))
}
