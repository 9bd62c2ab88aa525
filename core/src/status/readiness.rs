//! The condition Ready: the gravest thing that stands in the group's way, or none.

use kcg_api::condition::Reason;
use kcg_api::rules::live::{self, KnownPartitions};
use kcg_api::{ValidGroup, names};

use super::idle::idle;
use super::trouble::{in_words, reason};
use super::verdict::{Verdict, no, yes};
use crate::ceiling::Ceiling;
use crate::children::ChildKind;
use crate::observed::{Observed, Signal};

pub(super) fn ready(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> Verdict {
    troubled(group, observed)
        .or_else(|| contended(group, observed))
        .or_else(|| not_available(group, observed))
        .or_else(|| idle(group, observed, ceiling))
        .or_else(|| above(group, ceiling))
        .unwrap_or_else(|| {
            yes(Reason::Reconciled, "the children are as they should be and the consumers are available")
        })
}

/// A child that could not be written; the gravest reason counts, and every child that has it is named.
fn troubled(group: &ValidGroup, observed: &Observed) -> Option<Verdict> {
    let mut troubles: Vec<(Reason, String)> = Vec::new();
    for kind in ChildKind::ALL {
        let Some(trouble) = &observed.troubles[kind.index()] else {
            continue;
        };
        if let Some(reason) = reason(trouble) {
            troubles.push((reason, in_words(kind, group, trouble)));
        }
    }
    let gravest = troubles.iter().map(|(reason, _)| *reason).min()?;
    let sentences: Vec<String> =
        troubles.into_iter().filter(|(reason, _)| *reason == gravest).map(|(_, sentence)| sentence).collect();
    Some(no(gravest, sentences.join("; ")))
}

/// Somebody else scales the same pods, or consumes the same partitions.
fn contended(group: &ValidGroup, observed: &Observed) -> Option<Verdict> {
    let autoscaler = observed.autoscaler(&group.uid);
    if let Some(signal) =
        autoscaler.and_then(|facts| facts.scaling_active.as_ref()).filter(|signal| is_ambiguous(signal))
    {
        return Some(no(
            Reason::OtherAutoscaler,
            format!("another autoscaler scales Deployment {}: {}; remove it", group.name, signal.message),
        ));
    }
    if observed.rivals.is_empty() {
        return None;
    }
    let sentence = format!(
        "groups {} consume a topic of this one under the same groupId {}, so they take partitions from each other: give each its own spec.consumerSpec.groupId",
        observed.rivals.join(", "),
        group.consumer.group_id
    );
    Some(no(Reason::GroupIdShared, sentence))
}

/// Kubernetes' own word for two HorizontalPodAutoscalers over the same pods; it then scales by neither.
fn is_ambiguous(signal: &Signal) -> bool {
    !signal.status && &*signal.reason == "AmbiguousSelector"
}

fn not_available(group: &ValidGroup, observed: &Observed) -> Option<Verdict> {
    let Some(deployment) = observed.deployment(&group.uid) else {
        return Some(no(Reason::PodsNotReady, "the Deployment does not exist yet"));
    };
    let pods = format!("{} of {} pods are ready", deployment.ready, deployment.replicas);
    if let Some(stuck) = &deployment.stuck {
        return Some(no(
            Reason::RolloutStuck,
            format!("{stuck} {pods}; see kubectl describe pods -l {}={}", names::LABEL_GROUP, group.name),
        ));
    }
    (deployment.available != Some(true)).then(|| no(Reason::PodsNotReady, pods))
}

/// The live rule's own sentence, where the minimum is above the ceiling.
fn above(group: &ValidGroup, ceiling: &Ceiling) -> Option<Verdict> {
    if !ceiling.min_above {
        return None;
    }
    let topics: Vec<(&str, i32)> = ceiling
        .counts
        .iter()
        .filter_map(|count| Some((count.topic.name.as_str(), count.partitions()?)))
        .collect();
    let violation = live::min_within_ceiling(&KnownPartitions {
        min_replicas: group.min_replicas,
        partitions_per_consumer: group.consumer.partitions_per_consumer,
        policy: group.scaling.policy,
        topics: &topics,
    });
    let sentence = violation.map_or_else(
        || format!("spec.minReplicas is above the ceiling {}", ceiling.max),
        |violation| violation.to_string(),
    );
    Some(yes(Reason::MinAboveCeiling, format!("{sentence}; {} consumers run", ceiling.max)))
}
