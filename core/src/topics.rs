//! The KafkaTopics of the cluster, as a watch reported them: the controller's source for the
//! ceilings and the webhook's for its rules.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use kcg_api::topic::{TopicFacts, TopicLookup};

/// A watch that was silent for longer than this is not relied on.
pub const MAX_AGE: Duration = Duration::from_mins(1);

/// Whether the topics of a namespace are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopicsAvailability {
    /// The first list is not complete.
    #[default]
    Pending,
    /// The stored facts are what exists.
    Available,
    /// The cluster does not serve KafkaTopics.
    NotServed,
    /// They may not be read; why.
    Unreadable(String),
    /// They were read too long ago; why nothing came since.
    Stale(String),
}

/// The facts of each topic, by `namespace/name`, and the availability of each namespace.
#[derive(Debug)]
pub struct TopicStore<K> {
    facts: HashMap<K, TopicFacts>,
    /// By namespace. The empty name is the whole cluster, if one watch covers all of it.
    availability: HashMap<Box<str>, TopicsAvailability>,
}

impl<K> Default for TopicStore<K> {
    fn default() -> Self {
        Self { facts: HashMap::new(), availability: HashMap::new() }
    }
}

impl<K: Borrow<str> + Eq + Hash> TopicStore<K> {
    /// Stores a topic's facts. Returns whether they are new.
    pub fn insert(&mut self, topic: K, facts: TopicFacts) -> bool {
        if self.facts.get(topic.borrow()) == Some(&facts) {
            return false;
        }
        self.facts.insert(topic, facts);
        true
    }

    /// Removes a deleted topic. Returns whether it was known.
    pub fn remove(&mut self, topic: &str) -> bool {
        self.facts.remove(topic).is_some()
    }

    /// Removes the topics of a namespace, or all of them.
    pub fn clear(&mut self, namespace: Option<&str>) {
        self.facts.retain(|topic, _| namespace.is_some_and(|name| namespace_of(topic.borrow()) != name));
    }

    /// Sets the availability of a namespace; `None` is the whole cluster. Returns whether it
    /// changed.
    pub fn set_availability(&mut self, namespace: Option<&str>, availability: TopicsAvailability) -> bool {
        use TopicsAvailability::{NotServed, Stale};
        let known = self.availability.entry(namespace.unwrap_or_default().into()).or_default();
        // Keep the first reason: updating it on each retry of the watch would requeue every group.
        if *known == availability || matches!((&*known, &availability), (Stale(_), Stale(_))) {
            return false;
        }
        let is_gone = availability == NotServed;
        *known = availability;
        if is_gone {
            self.clear(namespace);
        }
        true
    }

    /// Whether the topic was reported and not deleted since.
    pub fn contains(&self, topic: &str) -> bool {
        self.facts.contains_key(topic)
    }

    /// The facts of a topic that was reported and not deleted since.
    pub fn get(&self, topic: &str) -> Option<&TopicFacts> {
        self.facts.get(topic)
    }

    /// The result of a lookup of a topic.
    pub fn lookup(&self, topic: &str) -> TopicLookup {
        let of_namespace = || self.availability.get(namespace_of(topic));
        let availability = self.availability.get("").or_else(of_namespace);
        self.lookup_in(topic, availability.unwrap_or(&TopicsAvailability::Pending))
    }

    /// The result of a lookup of a topic if its namespace has this availability.
    pub fn lookup_in(&self, topic: &str, availability: &TopicsAvailability) -> TopicLookup {
        match availability {
            TopicsAvailability::Available => {
                self.facts.get(topic).map_or(TopicLookup::NotFound, |facts| TopicLookup::Found(facts.clone()))
            }
            TopicsAvailability::NotServed => TopicLookup::NotServed,
            TopicsAvailability::Pending => TopicLookup::Unknown("the topics are not listed yet".to_owned()),
            TopicsAvailability::Unreadable(why) | TopicsAvailability::Stale(why) => {
                TopicLookup::Unknown(why.clone())
            }
        }
    }
}

fn namespace_of(topic: &str) -> &str {
    topic.split_once('/').map_or("", |(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "ns/t";

    fn facts(partitions: i32) -> TopicFacts {
        TopicFacts::stated("t", partitions)
    }

    fn store(availability: TopicsAvailability) -> TopicStore<&'static str> {
        let mut store = TopicStore::default();
        store.insert(TOPIC, facts(3));
        store.set_availability(None, availability);
        store
    }

    #[test]
    fn facts_are_new_once() {
        let mut store = TopicStore::default();
        assert!(store.insert(TOPIC, facts(3)) && !store.insert(TOPIC, facts(3)));
        assert!(store.insert(TOPIC, facts(4)));
        assert!(store.remove(TOPIC) && !store.remove(TOPIC));
    }

    #[test]
    fn a_topic_is_absent_only_if_all_topics_are_known() {
        use TopicsAvailability::{Available, NotServed, Pending, Stale, Unreadable};
        let unknown = |why: &str| TopicLookup::Unknown(why.to_owned());
        for (availability, known, other) in [
            (Available, TopicLookup::Found(facts(3)), TopicLookup::NotFound),
            (Pending, unknown("the topics are not listed yet"), unknown("the topics are not listed yet")),
            (NotServed, TopicLookup::NotServed, TopicLookup::NotServed),
            (Unreadable("no".into()), unknown("no"), unknown("no")),
            (Stale("silent".into()), unknown("silent"), unknown("silent")),
        ] {
            let store = store(availability);
            assert_eq!((store.lookup(TOPIC), store.lookup("ns/other")), (known, other));
        }
    }

    #[test]
    fn one_namespace_does_not_hide_the_topics_of_another() {
        let mut store = TopicStore::default();
        for topic in ["ns/t", "other/t"] {
            store.insert(topic, facts(3));
        }
        assert_eq!(store.lookup("ns/t"), TopicLookup::Unknown("the topics are not listed yet".into()));
        store.set_availability(Some("ns"), TopicsAvailability::Available);
        store.set_availability(Some("other"), TopicsAvailability::NotServed);
        store.set_availability(Some("other"), TopicsAvailability::Available);
        assert_eq!(
            (store.lookup("ns/t"), store.lookup("other/t")),
            (TopicLookup::Found(facts(3)), TopicLookup::NotFound)
        );
    }

    #[test]
    fn another_reason_for_staleness_is_no_change() {
        let mut store = store(TopicsAvailability::Stale("first".into()));
        assert!(!store.set_availability(None, TopicsAvailability::Stale("second".into())));
        assert_eq!(store.lookup(TOPIC), TopicLookup::Unknown("first".into()));
    }
}
