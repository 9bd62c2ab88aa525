//! The condition Ready: the gravest obstacle, or none.

use kcg_api::condition::Reason;
use kcg_api::rules::live::{self, KnownPartitions};
use kcg_api::{ValidGroup, names};

use super::child_errors::child_errors;
use super::condition::{ConditionValue, no, yes};
use super::idle::idle;
use crate::ceiling::Ceiling;
use crate::child_error::ChildError;
use crate::children::PerChild;
use crate::facts::{Observed, Signal};
use crate::lag::Cause;

pub(super) fn ready(
    group: &ValidGroup,
    observed: &Observed,
    ceiling: &Ceiling,
    errors: &PerChild<Option<ChildError>>,
) -> ConditionValue {
    child_errors(group, errors)
        .or_else(|| contended(group, observed))
        .or_else(|| not_available(group, observed))
        .or_else(|| idle(group, observed, ceiling))
        .or_else(|| above(group, ceiling))
        .unwrap_or_else(|| {
            yes(
                Reason::Reconciled,
                "the owned resources are in sync with the spec and the consumers are available",
            )
        })
}

/// Another autoscaler scales the same pods, or another group consumes the same partitions.
fn contended(group: &ValidGroup, observed: &Observed) -> Option<ConditionValue> {
    let autoscaler = observed.autoscaler(&group.uid);
    if let Some(signal) =
        autoscaler.and_then(|facts| facts.scaling_active.as_ref()).filter(|signal| is_contended(signal))
    {
        return Some(no(
            Reason::OtherAutoscaler,
            format!("another autoscaler scales Deployment {}: {}; remove it", group.name, signal.message),
        ));
    }
    if observed.conflicting_groups.is_empty() {
        return None;
    }
    let verb = if observed.conflicting_groups.is_one() { "consumes" } else { "consume" };
    let sentence = format!(
        "{} {verb} a topic of this one under the same groupId{}, so they take partitions from each other: give each its own spec.consumerSpec.groupId",
        observed.conflicting_groups,
        group.consumer.joined_group_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default()
    );
    Some(no(Reason::GroupIdShared, sentence))
}

/// Kubernetes detects two HorizontalPodAutoscalers over the same pods, and then scales by neither.
fn is_contended(signal: &Signal) -> bool {
    signal.cause() == Cause::Contended
}

fn not_available(group: &ValidGroup, observed: &Observed) -> Option<ConditionValue> {
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

/// The message of the webhook's live rule, if the minimum is above the ceiling.
fn above(group: &ValidGroup, ceiling: &Ceiling) -> Option<ConditionValue> {
    if !ceiling.min_above {
        return None;
    }
    let violation = live::min_within_ceiling(&KnownPartitions {
        min_replicas: group.min_replicas,
        partitions_per_consumer: group.consumer.partitions_per_consumer,
        policy: group.scaling.policy,
        topics: &ceiling.topic_partitions(),
    });
    let sentence = violation.map_or_else(
        || format!("spec.minReplicas is above the ceiling {}", ceiling.max),
        |violation| violation.to_string(),
    );
    Some(yes(Reason::MinAboveCeiling, format!("{sentence}; {} consumers run", ceiling.max)))
}
