//! Which changes of the status are worth an Event.

use std::cmp::Ordering;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kcg_api::KconsumerGroupStatus;
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::event::EventReason;

use super::condition::{ConditionStatus, find};
use super::scaling_dead;

/// An Event of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a Warning, or else Normal.
    pub is_warning: bool,
    /// The reason of the condition for a Warning, else an [`EventReason`].
    pub reason: &'static str,
    /// What happened.
    pub note: String,
}

/// The Events of what has changed since the previous status: each reason once.
pub fn events(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<Event> {
    let normal = [ceiling(previous, new), rollout(previous, new), paused(previous, new)];
    warnings(previous, new).into_iter().chain(normal.into_iter().flatten()).collect()
}

/// The errors that are new since the previous status. The start of a healthy group causes none: its
/// pods are not ready at first, and its metric is missing, which is an error only if it stays so.
fn warnings(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<Event> {
    // Progressing and Stalled have the reasons of Ready.
    let follow = [ConditionType::Progressing, ConditionType::Stalled].map(ConditionType::as_str);
    let mut warnings: Vec<Event> = Vec::new();
    let is_new = new
        .conditions
        .iter()
        .filter(|condition| !follow.contains(&condition.type_.as_str()))
        .filter(|condition| {
            let before = previous.conditions.iter().find(|before| before.type_ == condition.type_);
            before.is_none_or(|before| before.reason != condition.reason || before.status != condition.status)
        })
        // The autoscaler notices later what Ready has said: that the group was scaled to 0.
        .filter(|condition| condition.reason != Reason::ScaledToZero.as_str() || is_ready(condition));
    let is_worth_it =
        |condition: &&Condition| Reason::named(&condition.reason).is_some_and(is_worth_an_event);
    let dead = scaling_dead::newly_marked(previous, new);
    for condition in is_new.filter(is_worth_it).chain(dead) {
        let Some(reason) = Reason::named(&condition.reason).map(Reason::as_str) else { continue };
        if warnings.iter().all(|other| other.reason != reason) {
            warnings.push(Event { is_warning: true, reason, note: condition.message.clone() });
        }
    }
    warnings
}

fn is_ready(condition: &Condition) -> bool {
    condition.type_ == ConditionType::Ready.as_str()
}

fn ceiling(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Option<Event> {
    let (before, after) = (previous.max_replicas?, new.max_replicas?);
    let (reason, verb) = match after.cmp(&before) {
        Ordering::Greater => (EventReason::CeilingRaised, "raised"),
        Ordering::Less => (EventReason::CeilingLowered, "lowered"),
        Ordering::Equal => return None,
    };
    let known = |partitions: Option<i32>| partitions.map_or_else(|| "unknown".into(), |n| n.to_string());
    let cause = if previous.partitions != new.partitions {
        let (from, to) = (known(previous.partitions), known(new.partitions));
        format!("the partitions that count changed from {from} to {to}")
    } else if is_true(previous, ConditionType::Paused) && !is_true(new, ConditionType::Paused) {
        "the group was resumed".to_owned()
    } else if previous.observed_generation != new.observed_generation {
        "the group's spec changed".to_owned()
    } else {
        "another rule applies to the same partitions".to_owned()
    };
    Some(normal(reason, format!("the ceiling was {verb} from {before} to {after} consumers: {cause}")))
}

/// The end of a rollout. A group that grows meanwhile goes on with Scaling.
fn rollout(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Option<Event> {
    let is_over =
        matches!(reason(new, ConditionType::Progressing), Some(Reason::RolloutComplete | Reason::Scaling));
    // Without numbers: Events of one reason are merged, and the first note stays.
    (is_over && is_unfinished(previous)).then(|| {
        normal(
            EventReason::RolloutComplete,
            "the rollout is complete: all pods are of the current pod template and were available".to_owned(),
        )
    })
}

/// Whether there are pods that a rollout still has to replace or to create. Refused pods that only
/// an autoscaler adds leave Ready True.
fn is_unfinished(status: &KconsumerGroupStatus) -> bool {
    match reason(status, ConditionType::Progressing) {
        Some(Reason::RollingOut | Reason::RolloutStuck) => true,
        Some(Reason::ReplicaFailure | Reason::QuotaExceeded) => !is_true(status, ConditionType::Ready),
        Some(Reason::RolloutPaused) => reason(status, ConditionType::Ready) == Some(Reason::RolloutPaused),
        _ => false,
    }
}

fn reason(status: &KconsumerGroupStatus, type_: ConditionType) -> Option<Reason> {
    Reason::named(&find(&status.conditions, type_)?.reason)
}

fn paused(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Option<Event> {
    match (is_true(previous, ConditionType::Paused), is_true(new, ConditionType::Paused)) {
        (false, true) => Some(normal(
            EventReason::Paused,
            "spec.paused is true: the owned resources are not changed any more".to_owned(),
        )),
        (true, false) => Some(normal(
            EventReason::Resumed,
            "spec.paused is not true any more: the owned resources follow the spec".to_owned(),
        )),
        _ => None,
    }
}

fn is_true(status: &KconsumerGroupStatus, type_: ConditionType) -> bool {
    find(&status.conditions, type_)
        .is_some_and(|condition| condition.status == ConditionStatus::True.as_str())
}

fn normal(reason: EventReason, note: String) -> Event {
    Event { is_warning: false, reason: reason.as_str(), note }
}

const fn is_worth_an_event(reason: Reason) -> bool {
    match reason {
        Reason::MinAboveCeiling
        | Reason::IdleConsumers
        | Reason::RolloutStuck
        | Reason::ReplicaFailure
        | Reason::QuotaExceeded
        | Reason::ScaledToZero
        | Reason::InvalidSpec
        | Reason::NameConflict
        | Reason::SelectorImmutable
        | Reason::KindNotServed
        | Reason::ApplyRefused
        | Reason::ApplyFailed
        | Reason::OtherAutoscaler
        | Reason::GroupIdShared
        | Reason::TopicNotFound
        | Reason::KafkaTopicsNotServed
        | Reason::TopicsUnreadable
        | Reason::PartitionsUnset
        | Reason::PartitionsImpossible
        | Reason::TopicNameInvalid
        | Reason::TopicRefused
        | Reason::TopicNotReady
        | Reason::DecreaseHeld
        | Reason::RuleMissing
        | Reason::LagImpossible
        | Reason::Rejected
        | Reason::AtCeiling => true,
        Reason::Reconciled
        | Reason::RollingOut
        | Reason::Scaling
        | Reason::RolloutComplete
        | Reason::RolloutPaused
        | Reason::PodsNotReady
        | Reason::Resolved
        | Reason::Unconfirmed
        | Reason::TopicPaused
        | Reason::TopicUnmanaged
        | Reason::SameTopic
        | Reason::MetricsRead
        | Reason::MetricsMissing
        | Reason::MetricsApiUnavailable
        | Reason::ScalingInactive
        | Reason::Pending
        | Reason::Accepted
        | Reason::NotReported
        | Reason::RoomToScale
        | Reason::NotStalled
        | Reason::PausedBySpec
        | Reason::Running => false,
    }
}
