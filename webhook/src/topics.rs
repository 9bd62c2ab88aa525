//! The KafkaTopics as the cluster told them: what a review is judged by while it waits, without a request. Floor 2.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kcg_api::topic::{Sight, TopicFacts, TopicRef};
use kcg_runtime::follow::{Change, Key, Pulse, State};

/// A watch that has been silent for longer says nothing about now.
pub const TRUSTED: Duration = Duration::from_mins(1);

/// The topics' facts, kept by the follower's changes; clones share them.
#[derive(Clone, Debug)]
pub struct TopicCache {
    facts: Arc<RwLock<HashMap<Key, TopicFacts>>>,
    pulse: Pulse,
}

impl TopicCache {
    /// An empty cache for the follower with this pulse.
    pub fn new(pulse: Pulse) -> Self {
        Self { facts: Arc::default(), pulse }
    }

    /// Remembers what the follower tells.
    pub fn note(&self, change: Change<TopicFacts>) {
        let mut facts = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Applied(key, topic) => drop(facts.insert(key, topic)),
            Change::Deleted(key) | Change::Unparsable(key, _) => drop(facts.remove(&key)),
            // With their kind the topics are gone.
            Change::State(State::Absent) => facts.clear(),
            Change::Synced | Change::State(_) | Change::Served(_) => {}
        }
    }

    /// One topic, as far as it can be known now.
    pub fn sight(&self, topic: &TopicRef) -> Sight {
        blindness(&self.pulse.state(), self.pulse.synced(), self.pulse.age())
            .unwrap_or_else(|| self.seen(topic))
    }

    /// What waits for the first list, for the readiness line; `None` once it is there, or is known not to come: a
    /// namespace that may not be read is a warning on its groups, and no reason to answer nobody.
    pub fn waits_for(&self) -> Option<String> {
        let state = self.pulse.state();
        (!self.pulse.synced() && !matches!(state, State::Forbidden(_))).then(|| state.to_string())
    }

    fn seen(&self, topic: &TopicRef) -> Sight {
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        facts.get(topic.to_string().as_str()).map_or(Sight::Absent, |topic| Sight::Seen(topic.clone()))
    }
}

/// What every topic looks like while none can be seen.
fn blindness(state: &State, synced: bool, silence: Duration) -> Option<Sight> {
    let unknown = |why: String| Some(Sight::Unknown(why));
    match state {
        State::Absent => Some(Sight::NotServed),
        State::Forbidden(_) => unknown("the webhook may not read KafkaTopics".to_owned()),
        State::Starting | State::Live | State::Broken(_) if !synced => {
            unknown("the topics are not listed yet".to_owned())
        }
        State::Starting | State::Live | State::Broken(_) if silence > TRUSTED => {
            unknown(format!("no word from the cluster for {} s", silence.as_secs()))
        }
        State::Starting | State::Live | State::Broken(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn why(state: &State, synced: bool, silence: Duration) -> String {
        match blindness(state, synced, silence) {
            Some(Sight::Unknown(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn topics_are_seen_as_long_as_the_cluster_was_heard_within_a_minute() {
        let broken = State::Broken("connection refused".to_owned());
        for state in [State::Live, State::Starting, broken] {
            assert_eq!(blindness(&state, true, TRUSTED), None, "{state}");
            let cut_off = why(&state, true, TRUSTED + Duration::from_secs(1));
            assert_eq!(cut_off, "no word from the cluster for 61 s", "{state}");
            assert_eq!(why(&state, false, NOW), "the topics are not listed yet", "{state}");
        }
    }

    #[test]
    fn a_cluster_without_topics_is_told_from_one_that_hides_them() {
        assert_eq!(blindness(&State::Absent, true, NOW), Some(Sight::NotServed));
        let hidden = why(&State::Forbidden("kafkatopics is forbidden".to_owned()), true, NOW);
        assert_eq!(hidden, "the webhook may not read KafkaTopics");
    }
}
