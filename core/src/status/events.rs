//! Which changes of the status are worth a Warning Event.

use kcg_api::KconsumerGroupStatus;
use kcg_api::condition::{ConditionType, Reason};

/// A Warning Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The reason of the condition.
    pub reason: Reason,
    /// The message of the condition.
    pub note: String,
}

/// The errors that are new since the previous status, each reason once. The start of a healthy
/// group causes none: its pods are not ready at first, and its metric is missing.
pub fn warnings(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<Warning> {
    // Progressing and Stalled have the reasons of Ready.
    let follow = [ConditionType::Progressing, ConditionType::Stalled].map(ConditionType::as_str);
    new.conditions
        .iter()
        .filter(|condition| !follow.contains(&condition.type_.as_str()))
        .filter_map(|condition| {
            let reason = *Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason)?;
            let before = previous.conditions.iter().find(|before| before.type_ == condition.type_);
            let changed = before
                .is_none_or(|before| before.reason != condition.reason || before.status != condition.status);
            (changed && is_worth_an_event(reason))
                .then(|| Warning { reason, note: condition.message.clone() })
        })
        .fold(Vec::new(), |mut warnings, warning| {
            if !warnings.iter().any(|other: &Warning| other.reason == warning.reason) {
                warnings.push(warning);
            }
            warnings
        })
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
