//! A group that its autoscaler has not scaled by its lag for some minutes, because it cannot be read.
//!
//! The message of the condition MetricsAvailable records that it was reported. So it is reported
//! once, a restart of the operator included, and a metrics adapter that restarts is not.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kcg_api::KconsumerGroupStatus;
use kcg_api::condition::{ConditionType, Reason};

use crate::text::{self, MAX_MESSAGE};

/// How long the lag may be missing before it is reported.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// The end of the message of the condition from then on.
const NOTE: &str = ". The group has not been scaled by its lag for 5 minutes";

/// Adds the note if it is due.
pub(super) fn mark(conditions: &mut [Condition], now: Timestamp) {
    let Some(condition) = conditions.iter_mut().find(|condition| is_dead(condition)) else {
        return;
    };
    if wait(condition, now).is_zero() && !is_marked(condition) {
        let message = std::mem::take(&mut condition.message);
        condition.message = text::within(MAX_MESSAGE - NOTE.len(), message) + NOTE;
    }
}

/// The condition that has got the note since the previous status.
pub(super) fn newly_marked<'a>(
    previous: &KconsumerGroupStatus,
    new: &'a KconsumerGroupStatus,
) -> Option<&'a Condition> {
    let marked = |status: &'a KconsumerGroupStatus| status.conditions.iter().find(|c| is_marked(c));
    let was_marked = previous.conditions.iter().any(is_marked);
    marked(new).filter(|_| !was_marked)
}

/// How long until the note is due; `None` if the lag is read, or the note is there.
pub(super) fn until_scaling_is_dead(status: &KconsumerGroupStatus, now: Timestamp) -> Option<Duration> {
    let condition = status.conditions.iter().find(|condition| is_dead(condition))?;
    (!is_marked(condition)).then(|| wait(condition, now).unsigned_abs())
}

/// Between nothing and [`PATIENCE`], whatever the clocks say.
fn wait(condition: &Condition, now: Timestamp) -> SignedDuration {
    let passed = now.duration_since(condition.last_transition_time.0);
    (PATIENCE - passed.max(SignedDuration::ZERO)).max(SignedDuration::ZERO)
}

fn is_dead(condition: &Condition) -> bool {
    const DEAD: [Reason; 3] =
        [Reason::MetricsMissing, Reason::MetricsApiUnavailable, Reason::ScalingInactive];
    condition.type_ == ConditionType::MetricsAvailable.as_str()
        && DEAD.iter().any(|reason| condition.reason == reason.as_str())
}

fn is_marked(condition: &Condition) -> bool {
    is_dead(condition) && condition.message.ends_with(NOTE)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn a_long_message_with_the_note_is_as_long_as_any_other() {
        let dead = Condition {
            type_: ConditionType::MetricsAvailable.as_str().to_owned(),
            reason: Reason::MetricsMissing.as_str().to_owned(),
            message: "x".repeat(MAX_MESSAGE),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            status: "False".to_owned(),
            observed_generation: None,
        };
        let mut conditions = [dead];
        mark(&mut conditions, Timestamp::UNIX_EPOCH + PATIENCE);
        assert!(conditions[0].message.len() <= MAX_MESSAGE && is_marked(&conditions[0]));
    }
}
