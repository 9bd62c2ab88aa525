//! The status of a group: counts, the original's message, and conditions that explain both.

mod before;
mod child_errors;
mod condition;
mod contended;
mod events;
mod idle;
mod lag;
mod message;
mod metrics_available;
mod monitoring_accepted;
mod partition_bound;
mod paused;
mod pods_available;
mod progressing;
mod ready;
mod scaling_dead;
mod stalled;
mod topics_resolved;

#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::status::TopicStatus;
use kcg_api::{KconsumerGroup, KconsumerGroupStatus, ValidGroup, Violation, violation};

use crate::ceiling::{Ceiling, TopicCount};
use crate::child_error::ChildError;
use crate::children::PerChild;
use crate::facts::Observed;
use crate::rollout::Rollout;
use crate::text;

pub use condition::ConditionStatus;
pub use events::{Event, events};
pub use lag::Change;

use before::Before;
use condition::{ConditionValue, find, no};
use lag::lag;
use message::{message, original_message};
use metrics_available::metrics_available;
use monitoring_accepted::monitoring_accepted;
use partition_bound::{in_force, partition_bound};
use paused::paused;
use pods_available::deployed;
use progressing::{Deployed, of_deployment, progressing};
use ready::ready;
use stalled::stalled;
use topics_resolved::topics_resolved;

/// The status of a valid group. `errors` are those of the last writes.
pub fn compose(
    group: &ValidGroup,
    observed: &Observed,
    ceiling: &Ceiling,
    errors: &PerChild<Option<ChildError>>,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> KconsumerGroupStatus {
    let before = Before::of(previous, now);
    let deployed = deployed(group, observed, ceiling, before);
    let ready = with_tolerated(ready(group, observed, ceiling, errors, deployed, before), group);
    let values = ConditionType::ALL.iter().map(|&type_| {
        let value = match type_ {
            ConditionType::Ready => ready.clone(),
            ConditionType::Progressing => progressing(group, deployed, errors),
            ConditionType::Stalled => stalled(&ready),
            ConditionType::TopicsResolved => topics_resolved(ceiling),
            ConditionType::MetricsAvailable => metrics_available(group, observed),
            ConditionType::MonitoringAccepted => monitoring_accepted(group, observed, errors),
            ConditionType::PartitionBound => partition_bound(group, observed, ceiling),
            ConditionType::Paused => paused(group, ceiling),
        };
        (type_, value)
    });
    let mut conditions = conditions(values, group.generation, previous, now);
    scaling_dead::mark(&mut conditions, now);
    let deployment = observed.deployment(&group.uid);
    KconsumerGroupStatus {
        observed_generation: Some(group.generation),
        replicas: deployment.map_or(0, |facts| facts.replicas),
        ready_replicas: deployment.map_or(0, |facts| facts.ready),
        available_replicas: deployment.map_or(0, |facts| facts.available),
        active_pods: observed.active_pods.clone(),
        message: text::bounded(message(errors, ceiling)),
        partitions: ceiling.partitions,
        max_replicas: Some(in_force(group, observed, ceiling)),
        lag: Some(lag(group, observed)),
        defaults_version: Some(defaults_version(observed, &group.uid)),
        topics: ceiling.counts.iter().map(topic_status).collect(),
        conditions,
    }
}

/// Adds what the webhook would refuse in a new group: the API server may refuse it, too, and the
/// next change of it has to correct it.
fn with_tolerated(value: ConditionValue, group: &ValidGroup) -> ConditionValue {
    if group.tolerated.is_empty() {
        return value;
    }
    let sentence = violation::summary(&group.tolerated);
    let message = format!("{}. A new group with this spec is refused: {sentence}", value.message);
    ConditionValue { message, ..value }
}

/// When a status changes although nothing else does: a deadline ends that one of its conditions has.
pub fn until_next_change(
    group: &ValidGroup,
    observed: &Observed,
    status: &KconsumerGroupStatus,
    now: Timestamp,
) -> Option<Duration> {
    let ends =
        [before::deadline(group, observed, status, now), scaling_dead::until_scaling_is_dead(status, now)];
    ends.into_iter().flatten().min()
}

/// The status of a group whose stored spec breaks a rule. Its children are not modified, and the
/// other conditions stay.
pub fn invalid(
    group: &KconsumerGroup,
    violations: &[Violation],
    observed: &Observed,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> KconsumerGroupStatus {
    let generation = group.metadata.generation.unwrap_or_default();
    let uid = group.metadata.uid.as_deref().unwrap_or_default();
    let deployment = observed.deployment(uid);
    let sentence = violation::summary(violations);
    let ready = no(Reason::InvalidSpec, format!("{sentence}. The owned resources are not modified"));
    // It rolls out an earlier spec.
    let settled = progressing::is_over(find(&previous.conditions, ConditionType::Progressing));
    let deployed = deployment.map(|facts| Deployed { facts, rollout: Rollout::of(facts, settled) });
    let name = group.metadata.name.as_deref().unwrap_or_default();
    let values = [
        (ConditionType::Stalled, stalled(&ready)),
        (ConditionType::Progressing, of_deployment(name, deployed)),
        (ConditionType::Ready, ready),
    ];
    KconsumerGroupStatus {
        observed_generation: Some(generation),
        replicas: deployment.map_or(0, |facts| facts.replicas),
        ready_replicas: deployment.map_or(0, |facts| facts.ready),
        available_replicas: deployment.map_or(0, |facts| facts.available),
        active_pods: observed.active_pods.clone(),
        message: text::bounded(original_message("Error reconciling KconsumerGroup", &sentence)),
        defaults_version: Some(defaults_version(observed, uid)),
        conditions: conditions(values.into_iter(), generation, previous, now),
        ..previous.clone()
    }
}

fn defaults_version(observed: &Observed, uid: &str) -> String {
    observed.inherited(uid).defaults_version().as_str().to_owned()
}

fn topic_status(count: &TopicCount) -> TopicStatus {
    let known = count.known.as_ref();
    TopicStatus {
        name: count.topic.name.clone(),
        namespace: count.topic.namespace.clone(),
        topic_name: known.and_then(|known| known.topic_name()).map(str::to_owned),
        partitions: count.partitions(),
        topic_id: known.and_then(|known| known.topic_id.clone()),
    }
}

/// The conditions with their transition times, which change only if the status changes. A type
/// without a new value keeps its previous condition.
fn conditions(
    values: impl Iterator<Item = (ConditionType, ConditionValue)>,
    generation: i64,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> Vec<Condition> {
    let mut values: Vec<(ConditionType, ConditionValue)> = values.collect();
    ConditionType::ALL
        .iter()
        .filter_map(|type_| {
            let before = find(&previous.conditions, *type_);
            let Some(position) = values.iter().position(|(of, _)| of == type_) else {
                return before.cloned();
            };
            let (_, value) = values.swap_remove(position);
            Some(condition(*type_, value, generation, before, now))
        })
        .collect()
}

fn condition(
    type_: ConditionType,
    value: ConditionValue,
    generation: i64,
    before: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let status = value.status.as_str();
    let last_transition_time = match before.filter(|before| before.status == status) {
        Some(before) => before.last_transition_time.clone(),
        // The API stores whole seconds.
        None => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    // After a change of the spec the message is written, even if it only quotes.
    let is_the_same = |before: &&Condition| {
        value.quotes
            && before.status == status
            && before.reason == value.reason.as_str()
            && before.observed_generation == Some(generation)
    };
    let message = match before.filter(is_the_same) {
        Some(before) => before.message.clone(),
        None => text::bounded(value.message),
    };
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: value.reason.as_str().to_owned(),
        message,
        last_transition_time,
        observed_generation: Some(generation),
    }
}
