//! The condition Paused: whether spec.paused is true.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, yes};
use crate::ceiling::Ceiling;

pub(super) fn paused(group: &ValidGroup, ceiling: &Ceiling) -> ConditionValue {
    if group.paused {
        let (min, max) = (ceiling.min, ceiling.max);
        return yes(
            Reason::PausedBySpec,
            format!(
                "spec.paused is true: the owned resources are not modified; an existing HorizontalPodAutoscaler continues to scale (unpaused it would have the bounds {min} to {max})"
            ),
        );
    }
    no(Reason::Running, "the operator keeps the owned resources in sync with the spec")
}
