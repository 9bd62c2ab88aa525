//! The KafkaTopics as the cluster told them: what a review is judged by while it waits, without a request. Floor 2.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kcg_api::topic::{Sight, TopicFacts, TopicRef};
use kcg_runtime::topics::TopicsAvailability;
use kcg_runtime::watch::{Event, NamespaceHealth, ObjectKey, WatchHealth, WatchState};

/// The topics' facts, kept by the follower's changes; clones share them.
#[derive(Clone, Debug)]
pub struct TopicCache {
    facts: Arc<RwLock<HashMap<ObjectKey, TopicFacts>>>,
    pulse: WatchHealth,
}

impl TopicCache {
    /// An empty cache for the follower with this pulse.
    pub fn new(pulse: WatchHealth) -> Self {
        Self { facts: Arc::default(), pulse }
    }

    /// Remembers what the follower tells.
    pub fn note(&self, change: Event<TopicFacts>) {
        let mut facts = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Event::Applied(key, topic) => drop(facts.insert(key, topic)),
            Event::Deleted(key) | Event::Unparsable(key, _) => drop(facts.remove(&key)),
            // With their kind the topics are gone.
            Event::StateChanged(WatchState::NotServed) => facts.clear(),
            Event::Synced | Event::StateChanged(_) | Event::Served(_) => {}
        }
    }

    /// One topic, as far as its namespace can be seen now.
    pub fn sight(&self, topic: &TopicRef) -> Sight {
        blindness(self.pulse.in_namespace(&topic.namespace).as_ref()).unwrap_or_else(|| self.seen(topic))
    }

    /// What waits for the first list, for the readiness line; `None` once it is there, or is known not to come: a
    /// namespace that may not be read is a warning on its groups, and no reason to answer nobody.
    pub fn waiting_for(&self) -> Option<String> {
        self.pulse.waiting_for()
    }

    fn seen(&self, topic: &TopicRef) -> Sight {
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        facts.get(topic.to_string().as_str()).map_or(Sight::Absent, |topic| Sight::Seen(topic.clone()))
    }
}

/// What every topic of a namespace looks like while none can be seen; the health is that namespace's.
fn blindness(health: Option<&NamespaceHealth>) -> Option<Sight> {
    let unknown = |why: &str| Some(Sight::Unknown(why.to_owned()));
    let Some(health) = health else {
        return unknown("the webhook does not look into this namespace");
    };
    match TopicsAvailability::of(health) {
        TopicsAvailability::Live => None,
        TopicsAvailability::NotServed => Some(Sight::NotServed),
        TopicsAvailability::Forbidden(_) => unknown("the webhook may not read KafkaTopics"),
        TopicsAvailability::Starting => unknown("the topics are not listed yet"),
        TopicsAvailability::CutOff(_) => {
            unknown(&format!("no word from the cluster for {} s", health.age.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kcg_runtime::topics::TRUSTED;
    use kcg_runtime::watch::SyncState;

    use super::*;

    fn why(state: WatchState, sync: SyncState, age: Duration) -> String {
        match blindness(Some(&NamespaceHealth { state, sync, age })) {
            Some(Sight::Unknown(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn topics_are_seen_as_long_as_the_cluster_was_heard_within_a_minute() {
        let broken = || WatchState::Failing("connection refused".to_owned());
        for state in [WatchState::Live, WatchState::Starting, broken()] {
            let health = NamespaceHealth { state: state.clone(), sync: SyncState::Synced, age: TRUSTED };
            assert_eq!(blindness(Some(&health)), None, "{state}");
            let cut_off = why(state.clone(), SyncState::Synced, TRUSTED + Duration::from_secs(1));
            assert_eq!(cut_off, "no word from the cluster for 61 s", "{state}");
            let unlisted = why(state.clone(), SyncState::Pending, Duration::ZERO);
            assert_eq!(unlisted, "the topics are not listed yet", "{state}");
        }
    }

    #[test]
    fn a_cluster_without_topics_is_told_from_one_that_hides_them() {
        let absent =
            NamespaceHealth { state: WatchState::NotServed, sync: SyncState::NotServed, age: Duration::ZERO };
        assert_eq!(blindness(Some(&absent)), Some(Sight::NotServed));
        let forbidden = WatchState::Forbidden("kafkatopics is forbidden".to_owned());
        let hidden = why(forbidden, SyncState::Synced, Duration::ZERO);
        assert_eq!(hidden, "the webhook may not read KafkaTopics");
    }

    #[test]
    fn topics_of_a_namespace_that_is_not_watched_are_not_taken_for_missing() {
        let unseen = Sight::Unknown("the webhook does not look into this namespace".to_owned());
        assert_eq!(blindness(None), Some(unseen));
    }
}
