//! The condition Stalled, which kstatus takes for a failure: the group does not become ready unless
//! a person acts.

use kcg_api::condition::Reason;

use super::condition::{ConditionStatus, ConditionValue, no};

/// Follows from the condition Ready.
pub(super) fn stalled(ready: &ConditionValue) -> ConditionValue {
    if ready.status == ConditionStatus::False && needs_a_person(ready.reason) {
        return ConditionValue { status: ConditionStatus::True, ..ready.clone() };
    }
    no(Reason::NotStalled, "the group does not need a person")
}

/// Whether a group that is not ready for this reason stays so until a person changes something.
const fn needs_a_person(reason: Reason) -> bool {
    match reason {
        Reason::RolloutStuck
        | Reason::ReplicaFailure
        // Kubernetes' way to turn autoscaling off: nothing scales it up again.
        | Reason::ScaledToZero
        | Reason::InvalidSpec
        | Reason::NameConflict
        | Reason::SelectorImmutable
        | Reason::ApplyRefused
        | Reason::OtherAutoscaler
        | Reason::GroupIdShared => true,
        Reason::Reconciled
        | Reason::RollingOut
        | Reason::Scaling
        | Reason::RolloutComplete
        | Reason::RolloutPaused
        | Reason::MinAboveCeiling
        | Reason::IdleConsumers
        // The pods may be restarting, or wait for Kafka.
        | Reason::PodsNotReady
        // Old pods that go, or another workload, make room.
        | Reason::QuotaExceeded
        | Reason::KindNotServed
        // It is retried.
        | Reason::ApplyFailed
        | Reason::Resolved
        | Reason::Unconfirmed
        | Reason::TopicPaused
        | Reason::TopicUnmanaged
        | Reason::SameTopic
        | Reason::TopicNotFound
        | Reason::KafkaTopicsNotServed
        | Reason::TopicsUnreadable
        | Reason::PartitionsUnset
        | Reason::PartitionsImpossible
        | Reason::TopicNameInvalid
        | Reason::TopicRefused
        | Reason::TopicNotReady
        | Reason::DecreaseHeld
        | Reason::MetricsRead
        | Reason::MetricsMissing
        | Reason::LagImpossible
        | Reason::RuleMissing
        | Reason::MetricsApiUnavailable
        | Reason::ScalingInactive
        | Reason::Pending
        | Reason::Accepted
        | Reason::Rejected
        | Reason::NotReported
        | Reason::AtCeiling
        | Reason::RoomToScale
        | Reason::NotStalled
        | Reason::PausedBySpec
        | Reason::Running => false,
    }
}
