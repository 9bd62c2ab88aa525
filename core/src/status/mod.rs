//! What a group's status says: counts, the original's message, and conditions that answer "why". Floor 1.

mod idle;
mod lag;
mod message;
mod neighbours;
mod notice;
mod readiness;
mod trouble;
mod verdict;

#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::group::TopicStatus;
use kcg_api::{KconsumerGroup, KconsumerGroupStatus, ValidGroup, Violation, violation};

use crate::ceiling::Ceiling;
use crate::observed::Observed;

pub use lag::Cause;
pub use neighbours::is_bound;
pub use notice::{Notice, notices};

use lag::metrics_available;
use message::{message, original_message};
use neighbours::{in_force, monitoring_accepted, partition_bound, paused, topics_resolved};
use readiness::ready;
use verdict::{Verdict, no};

/// The status of a valid group.
pub fn compose(
    group: &ValidGroup,
    observed: &Observed,
    ceiling: &Ceiling,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> KconsumerGroupStatus {
    let verdicts = ConditionType::ALL.iter().map(|&type_| {
        let verdict = match type_ {
            ConditionType::Ready => ready(group, observed, ceiling),
            ConditionType::TopicsResolved => topics_resolved(ceiling),
            ConditionType::MetricsAvailable => metrics_available(group, observed),
            ConditionType::MonitoringAccepted => monitoring_accepted(group, observed),
            ConditionType::PartitionBound => partition_bound(group, observed, ceiling),
            ConditionType::Paused => paused(group, ceiling),
        };
        (type_, verdict)
    });
    let deployment = observed.deployment(&group.uid);
    KconsumerGroupStatus {
        observed_generation: Some(group.generation),
        replicas: deployment.map_or(0, |facts| facts.replicas),
        ready_replicas: deployment.map_or(0, |facts| facts.ready),
        active_pods: observed.active_pods.clone(),
        message: message(observed, ceiling),
        partitions: ceiling.partitions,
        max_replicas: Some(in_force(group, observed, ceiling)),
        topics: ceiling.counts.iter().map(topic_status).collect(),
        conditions: conditions(verdicts, group.generation, previous, now),
    }
}

/// The status of a group whose stored spec breaks a rule: its children are left as they are, and what was known of
/// them stays.
pub fn invalid(
    group: &KconsumerGroup,
    violations: &[Violation],
    observed: &Observed,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> KconsumerGroupStatus {
    let generation = group.metadata.generation.unwrap_or_default();
    let deployment = observed.deployment(group.metadata.uid.as_deref().unwrap_or_default());
    let sentence = violation::summary(violations);
    let ready = no(Reason::InvalidSpec, format!("{sentence}. The children are left as they are"));
    KconsumerGroupStatus {
        observed_generation: Some(generation),
        replicas: deployment.map_or(0, |facts| facts.replicas),
        ready_replicas: deployment.map_or(0, |facts| facts.ready),
        active_pods: observed.active_pods.clone(),
        message: original_message("Error reconciling KconsumerGroup", &sentence),
        conditions: conditions(std::iter::once((ConditionType::Ready, ready)), generation, previous, now),
        ..previous.clone()
    }
}

fn topic_status(count: &crate::ceiling::Count) -> TopicStatus {
    let known = count.known.as_ref();
    TopicStatus {
        name: count.topic.name.clone(),
        namespace: count.topic.namespace.clone(),
        topic_name: known.map(|known| known.topic_name.clone()),
        partitions: count.partitions(),
        topic_id: known.and_then(|known| known.topic_id.clone()),
    }
}

/// The verdicts laid over the previous conditions: a transition time moves only when the status does.
fn conditions(
    verdicts: impl Iterator<Item = (ConditionType, Verdict)>,
    generation: i64,
    previous: &KconsumerGroupStatus,
    now: Timestamp,
) -> Vec<Condition> {
    let mut verdicts: Vec<(ConditionType, Verdict)> = verdicts.collect();
    ConditionType::ALL
        .iter()
        .filter_map(|type_| {
            let before = previous.conditions.iter().find(|condition| condition.type_ == type_.as_str());
            let Some(position) = verdicts.iter().position(|(of, _)| of == type_) else {
                return before.cloned();
            };
            let (_, verdict) = verdicts.swap_remove(position);
            Some(condition(*type_, verdict, generation, before, now))
        })
        .collect()
}

fn condition(
    type_: ConditionType,
    verdict: Verdict,
    generation: i64,
    before: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let status = verdict.status.as_str();
    let last_transition_time = match before.filter(|before| before.status == status) {
        Some(before) => before.last_transition_time.clone(),
        // Conditions hold whole seconds.
        None => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    // A new spec may ask for something else, and is written of anyway.
    let says_the_same = |before: &&Condition| {
        verdict.quotes
            && before.status == status
            && before.reason == verdict.reason.as_str()
            && before.observed_generation == Some(generation)
    };
    let message = match before.filter(says_the_same) {
        Some(before) => before.message.clone(),
        None => verdict.message,
    };
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.as_str().to_owned(),
        message,
        last_transition_time,
        observed_generation: Some(generation),
    }
}
