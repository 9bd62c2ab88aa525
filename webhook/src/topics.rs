//! The KafkaTopics that reviews are checked against. A review makes no request: it uses what the
//! watch has reported.

use std::sync::Arc;

use kcg_api::topic::{self, TopicFacts, TopicLookup, TopicRef};
use kcg_core::topics::{MAX_AGE, TopicStore, TopicsAvailability};
use kcg_runtime::discovery::OptionalKind;
use kcg_runtime::watch::{
    Availability, Event, NamespaceHealth, ObjectKey, Scope, Transform, WatchHealth, WatchSpec, WatchState,
    Watcher,
};
use kube::Client;
use parking_lot::RwLock;

/// KafkaTopics, in the best version that a cluster serves.
pub fn kind() -> OptionalKind {
    OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS)
}

/// The watch of KafkaTopics, in the best version that the cluster serves.
pub fn watcher(client: Client, scope: Scope) -> Watcher<TopicFacts> {
    let facts = Transform::new(|facts: TopicFacts| facts);
    Watcher::new(topic::PLURAL, client, WatchSpec::optional(kind(), scope), facts)
}

/// The facts that the watch has reported. Clones share them.
#[derive(Clone, Debug)]
pub struct TopicCache {
    store: Arc<RwLock<TopicStore<ObjectKey>>>,
    health: WatchHealth,
}

impl TopicCache {
    /// An empty cache for the watch with this health.
    pub fn new(health: WatchHealth) -> Self {
        Self { store: Arc::default(), health }
    }

    /// Handles an event of the watch.
    pub fn note(&self, event: Event<TopicFacts>) {
        let mut store = self.store.write();
        match event {
            Event::Applied(key, topic) => drop(store.insert(key, topic)),
            Event::Deleted(key) | Event::Unparsable(key, _) => drop(store.remove(key.as_str())),
            // The API server deleted the topics together with their kind.
            Event::StateChanged(WatchState::NotServed) => store.clear(None),
            Event::Listed(_) | Event::Synced | Event::StateChanged(_) | Event::Served(_) => {}
        }
    }

    /// What is known of a topic now.
    pub fn lookup(&self, topic: &TopicRef) -> TopicLookup {
        let availability = availability(self.health.in_namespace(&topic.namespace).as_ref());
        let store = self.store.read();
        store.lookup_in(&topic.to_string(), &availability)
    }

    /// What the first list is waiting for, for the readiness check. `None` once every namespace is
    /// listed or forbidden: a group whose topics cannot be read gets a warning, and the webhook
    /// stays ready.
    pub fn waiting_for(&self) -> Option<String> {
        self.health.waiting_for()
    }
}

/// Whether the topics of a namespace are known; the health is that namespace's.
fn availability(health: Option<&NamespaceHealth>) -> TopicsAvailability {
    let Some(health) = health else {
        return TopicsAvailability::Unreadable("the webhook does not watch this namespace".to_owned());
    };
    match health.availability(MAX_AGE) {
        Availability::Pending => TopicsAvailability::Pending,
        Availability::Available => TopicsAvailability::Available,
        Availability::NotServed => TopicsAvailability::NotServed,
        Availability::Forbidden(_) => {
            TopicsAvailability::Unreadable("the webhook may not read KafkaTopics".to_owned())
        }
        Availability::Stale(_) => {
            let seconds = health.age.as_secs();
            TopicsAvailability::Stale(format!("no response for {seconds} s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kcg_runtime::watch::SyncState;

    use super::*;

    /// What is known of a topic that the store does not have.
    fn lookup(health: Option<&NamespaceHealth>) -> TopicLookup {
        TopicStore::<ObjectKey>::default().lookup_in("ns/t", &availability(health))
    }

    fn why(state: WatchState, sync: SyncState, age: Duration) -> String {
        match lookup(Some(&NamespaceHealth { state, sync, age })) {
            TopicLookup::Unknown(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn topics_are_available_if_the_cluster_responded_within_a_minute() {
        let failing = || WatchState::Failing("connection refused".to_owned());
        for state in [WatchState::Live, WatchState::Starting, failing()] {
            let health = NamespaceHealth { state: state.clone(), sync: SyncState::Synced, age: MAX_AGE };
            assert_eq!(availability(Some(&health)), TopicsAvailability::Available, "{state}");
            let stale = why(state.clone(), SyncState::Synced, MAX_AGE + Duration::from_secs(1));
            assert_eq!(stale, "no response for 61 s", "{state}");
            let unlisted = why(state.clone(), SyncState::Pending, Duration::ZERO);
            assert_eq!(unlisted, "the topics are not listed yet", "{state}");
        }
    }

    #[test]
    fn a_cluster_without_topics_differs_from_one_that_forbids_them() {
        let absent =
            NamespaceHealth { state: WatchState::NotServed, sync: SyncState::NotServed, age: Duration::ZERO };
        assert_eq!(lookup(Some(&absent)), TopicLookup::NotServed);
        let forbidden = WatchState::Forbidden("kafkatopics is forbidden".to_owned());
        let hidden = why(forbidden, SyncState::Synced, Duration::ZERO);
        assert_eq!(hidden, "the webhook may not read KafkaTopics");
    }

    #[test]
    fn topics_of_a_namespace_that_is_not_watched_are_not_taken_for_missing() {
        let unwatched = TopicLookup::Unknown("the webhook does not watch this namespace".to_owned());
        assert_eq!(lookup(None), unwatched);
    }
}
