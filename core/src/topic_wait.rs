//! The Deployment of a new group waits for its KafkaTopics: consumers that start before their topic
//! may create it with the broker's defaults, or subscribe to another name than it gets.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kcg_api::condition::Reason;
use kcg_api::topic::TopicLookup;

use crate::ceiling::TopicCount;
use crate::child_error::ChildError;
use crate::children::ChildKind;
use crate::desired::DesiredState;
use crate::facts::Observed;
use crate::text;

/// How long after its creation a group waits at most.
const GRACE: Duration = Duration::from_mins(1);

/// A Deployment that is not created yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWait {
    /// How long at most.
    pub remaining: Duration,
    /// Why, for the status.
    pub error: ChildError,
}

/// Whether the group's Deployment waits. It does not if any exists, if each KafkaTopic was seen
/// once, or if the cluster does not serve KafkaTopics.
pub fn topic_wait(state: &DesiredState, observed: &Observed, now: Timestamp) -> Option<TopicWait> {
    if state.group.paused || observed.child(ChildKind::Deployment).is_some() {
        return None;
    }
    if observed.topics.values().any(|lookup| *lookup == TopicLookup::NotServed) {
        return None;
    }
    let unseen: Vec<&TopicCount> =
        state.ceiling.counts.iter().filter(|count| count.known.is_none()).collect();
    let reason = unseen.first()?.finding.as_ref().map_or(Reason::TopicNotFound, |finding| finding.reason);
    // A creation in the future is a clock that differs.
    let age = Duration::try_from(now.duration_since(state.group.created?)).unwrap_or_default();
    let remaining = GRACE.checked_sub(age).filter(|remaining| !remaining.is_zero())?;
    let named: Vec<String> = unseen.iter().map(|count| count.topic.to_string()).collect();
    let error = ChildError::WaitsForTopics { reason, topics: text::listed(&named) };
    Some(TopicWait { remaining, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{group, new_world, settled_world};

    const CREATED: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(CREATED + seconds).unwrap()
    }

    fn wait(spec: &str, seconds: i64, change: impl FnOnce(&mut Observed)) -> Option<TopicWait> {
        let mut group = group(spec);
        group.created = Some(at(0));
        let mut world = new_world(&group);
        change(&mut world);
        topic_wait(&DesiredState::new(group, &world), &world, at(seconds))
    }

    fn all(lookup: TopicLookup) -> impl FnOnce(&mut Observed) {
        move |world| world.topics.values_mut().for_each(|found| *found = lookup.clone())
    }

    #[test]
    fn a_new_group_waits_for_a_minute_from_its_creation() {
        for (seconds, remaining) in [(0, Some(60)), (59, Some(1)), (60, None), (3600, None), (-5, Some(60))] {
            let found = wait("{}", seconds, all(TopicLookup::NotFound));
            assert_eq!(found.map(|wait| wait.remaining.as_secs()), remaining, "after {seconds} s");
        }
    }

    #[test]
    fn the_wait_names_its_topics_and_ends_with_the_last_of_them() {
        let spec = "{consumerSpec: {topics: [b, c, d]}}";
        let found = wait(spec, 0, all(TopicLookup::NotFound)).expect("it waits");
        assert_eq!(
            found.error.describe(ChildKind::Deployment, "kconsumer"),
            "Deployment kconsumer is created when these KafkaTopics exist, or 60 s after the group: \
             default/fast-data-topic, default/b, default/c and others"
        );
        assert_eq!(found.error.reason(), Some(Reason::TopicNotFound));
        let one_is_missing = |world: &mut Observed| {
            *world.topics.values_mut().next().expect("there is one") = TopicLookup::NotFound;
        };
        assert!(wait(spec, 0, one_is_missing).is_some() && wait(spec, 0, |_| {}).is_none());
    }

    #[test]
    fn an_existing_deployment_a_paused_group_and_a_cluster_without_strimzi_do_not_wait() {
        let exists = |world: &mut Observed| {
            *world = settled_world(&group("{}"));
            all(TopicLookup::NotFound)(world);
        };
        assert_eq!(wait("{}", 0, exists), None);
        assert_eq!(wait("{}", 0, all(TopicLookup::NotServed)), None);
        assert_eq!(wait("{paused: true}", 0, all(TopicLookup::NotFound)), None);
        let unreadable = wait("{}", 0, all(TopicLookup::Unknown("no".into()))).expect("it waits");
        assert_eq!(unreadable.error.reason(), Some(Reason::TopicsUnreadable));
    }
}
