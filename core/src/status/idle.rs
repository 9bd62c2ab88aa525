//! Consumers beyond those that the partitions keep busy.
//!
//! An autoscaler that is well takes them away at its next sync, whoever added them; that moment is not worth a word.
//! What is told is what stays: the paused group's autoscaler that still allows them, and one that cannot scale.

use kcg_api::ValidGroup;
use kcg_api::ceiling::consumers;
use kcg_api::condition::Reason;

use super::verdict::{Verdict, yes};
use crate::ceiling::Ceiling;
use crate::observed::Observed;

pub(super) fn idle(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> Option<Verdict> {
    let partitions = ceiling.all_partitions()?;
    let busy = consumers(partitions, group.consumer.partitions_per_consumer);
    let deployment = observed.deployment(&group.uid)?;
    // What a rollout adds for a while is not wanted to stay, and what is about to go is wanted no more.
    let running = deployment.wanted.min(deployment.replicas);
    if running <= busy {
        return None;
    }
    let cure = why_they_stay(group, observed, busy)?;
    let idle = running - busy;
    Some(yes(
        Reason::IdleConsumers,
        format!(
            "{running} consumers run, of which the partitions ({partitions}) keep {busy} busy: {idle} do nothing; {cure}"
        ),
    ))
}

/// Why the autoscaler leaves them, and the cure; `None` where it is about to take them away.
fn why_they_stay(group: &ValidGroup, observed: &Observed, busy: i32) -> Option<String> {
    let by_hand = format!("kubectl scale deployment {} --replicas={busy}", group.name);
    let Some(autoscaler) = observed.autoscaler(&group.uid) else {
        return Some(format!("there is no HorizontalPodAutoscaler to take them away: {by_hand}"));
    };
    // Only a paused group's autoscaler is left with a maximum of earlier partitions: that lasts, whatever else it says.
    if group.paused && autoscaler.max_replicas > busy {
        return Some(format!(
            "the paused group's HorizontalPodAutoscaler still allows {}: set spec.paused to false",
            autoscaler.max_replicas
        ));
    }
    let words = autoscaler.unable.as_ref()?;
    Some(format!("the HorizontalPodAutoscaler cannot scale ({words}); until it can: {by_hand}"))
}
