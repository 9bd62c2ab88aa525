//! The KafkaTopic watch that both processes share: the controller for its ceilings, the webhook for its rules.
//! Floor 2 (I/O shell); what a topic says is decoded in kcg-api.

use std::time::Duration;

use kcg_api::topic::{self, TopicFacts};
use kube::Client;
use serde_json::Value;

use crate::{
    discovery::OptionalKind,
    watch::{NamespaceHealth, Scope, SyncState, Transform, WatchSpec, WatchState, Watcher},
};

/// After this long without a sign of life, what a watch told says nothing about now.
pub const TRUSTED: Duration = Duration::from_mins(1);

/// Strimzi's topics in the best version that is served. [`TopicFacts::decode`] makes something of every object,
/// so this follower never tells [`crate::watch::Event::Unparsable`].
pub fn watcher(client: Client, scope: Scope) -> Watcher<TopicFacts> {
    let candidates = OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let projection = Transform::new(|topic: Value| TopicFacts::decode(&topic));
    Watcher::new(topic::PLURAL, client, WatchSpec::optional(candidates, scope), projection)
}

/// What can be made of the topics that were told of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TopicsAvailability {
    /// They are not listed yet.
    #[default]
    Starting,
    /// They are what exists.
    Live,
    /// The cluster has no such kind.
    NotServed,
    /// They may not be read; the API server's words.
    Forbidden(String),
    /// They were told too long ago; what stands in the way.
    CutOff(WatchState),
}

impl TopicsAvailability {
    /// A watch that breaks is believed for [`TRUSTED`], and one that was cut off again at its first sign of life. A
    /// kind that has come is there once its objects are listed.
    pub fn of(health: &NamespaceHealth) -> Self {
        match (&health.state, health.sync) {
            (WatchState::NotServed, _) => Self::NotServed,
            (WatchState::Forbidden(said), _) => Self::Forbidden(said.clone()),
            (_, SyncState::Pending | SyncState::Forbidden) => Self::Starting,
            (state, _) if health.age > TRUSTED => Self::CutOff(state.clone()),
            (_, SyncState::NotServed) => Self::NotServed,
            (_, SyncState::Synced) => Self::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &WatchState, sync: SyncState, age: Duration) -> TopicsAvailability {
        TopicsAvailability::of(&NamespaceHealth { state: state.clone(), sync, age })
    }

    fn hindered() -> [WatchState; 3] {
        [WatchState::Live, WatchState::Starting, WatchState::Failing("connection refused".to_owned())]
    }

    #[test]
    fn what_was_told_counts_as_long_as_the_cluster_was_heard_within_a_minute() {
        for state in hindered() {
            assert_eq!(view(&state, SyncState::Synced, TRUSTED), TopicsAvailability::Live, "{state}");
            let longer = TRUSTED + Duration::from_secs(1);
            assert_eq!(
                view(&state, SyncState::Synced, longer),
                TopicsAvailability::CutOff(state.clone()),
                "{state}"
            );
        }
    }

    #[test]
    fn topics_that_were_not_listed_are_not_taken_for_missing() {
        for state in hindered() {
            for told in [SyncState::Pending, SyncState::Forbidden] {
                assert_eq!(view(&state, told, Duration::ZERO), TopicsAvailability::Starting, "{state}");
            }
            assert_eq!(
                view(&state, SyncState::NotServed, Duration::ZERO),
                TopicsAvailability::NotServed,
                "{state}"
            );
        }
    }

    #[test]
    fn a_cluster_without_topics_is_told_from_one_that_hides_them() {
        for told in [SyncState::Pending, SyncState::Forbidden, SyncState::NotServed, SyncState::Synced] {
            assert_eq!(view(&WatchState::NotServed, told, Duration::ZERO), TopicsAvailability::NotServed);
            let hidden = view(&WatchState::Forbidden("no".to_owned()), told, 2 * TRUSTED);
            assert_eq!(hidden, TopicsAvailability::Forbidden("no".to_owned()));
        }
    }
}
