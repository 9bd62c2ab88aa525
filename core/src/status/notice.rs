//! Which changes of status are worth an Event.

use kcg_api::KconsumerGroupStatus;
use kcg_api::condition::Reason;

/// A Warning Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub reason: Reason,
    pub note: String,
}

/// What has gone wrong since the previous status and is worth an Event. The way up of a healthy group makes
/// none: its pods are not ready at first, and its metric is not there.
pub fn notices(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<Notice> {
    new.conditions
        .iter()
        .filter_map(|condition| {
            let reason = *Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason)?;
            let before = previous.conditions.iter().find(|before| before.type_ == condition.type_);
            let changed = before
                .is_none_or(|before| before.reason != condition.reason || before.status != condition.status);
            (changed && is_worth_an_event(reason)).then(|| Notice { reason, note: condition.message.clone() })
        })
        .fold(Vec::new(), |mut notices, notice| {
            if !notices.iter().any(|other: &Notice| other.reason == notice.reason) {
                notices.push(notice);
            }
            notices
        })
}

const fn is_worth_an_event(reason: Reason) -> bool {
    match reason {
        Reason::MinAboveCeiling
        | Reason::IdleConsumers
        | Reason::RolloutStuck
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
        | Reason::TopicRefused
        | Reason::DecreaseHeld
        | Reason::Rejected
        | Reason::AtCeiling => true,
        Reason::Reconciled
        | Reason::PodsNotReady
        | Reason::Resolved
        | Reason::MetricsRead
        | Reason::MetricsMissing
        | Reason::MetricsApiUnavailable
        | Reason::ScalingInactive
        | Reason::Pending
        | Reason::Accepted
        | Reason::NotReported
        | Reason::RoomToScale
        | Reason::PausedBySpec
        | Reason::Running => false,
    }
}
