//! The condition Ready: the gravest obstacle, or none.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;
use kcg_api::rules::live::{self, KnownPartitions};

use super::before::Before;
use super::child_errors::child_errors;
use super::condition::{ConditionValue, yes};
use super::contended::contended;
use super::idle::idle;
use super::pods_available::pods_available;
use super::progressing::Deployed;
use crate::ceiling::Ceiling;
use crate::child_error::ChildError;
use crate::children::PerChild;
use crate::facts::Observed;

pub(super) fn ready(
    group: &ValidGroup,
    observed: &Observed,
    ceiling: &Ceiling,
    errors: &PerChild<Option<ChildError>>,
    deployed: Option<Deployed<'_>>,
    before: Before<'_>,
) -> ConditionValue {
    child_errors(group, errors)
        .or_else(|| contended(group, observed))
        .or_else(|| pods_available(group, observed, ceiling, deployed, before))
        .or_else(|| idle(group, observed, ceiling))
        .or_else(|| above(group, ceiling))
        .unwrap_or_else(|| {
            yes(
                Reason::Reconciled,
                "the owned resources are in sync with the spec and the consumers are available",
            )
        })
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
