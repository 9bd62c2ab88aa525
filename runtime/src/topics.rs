//! The KafkaTopic watch that both processes share: the controller for its ceilings, the webhook for its rules.
//! Floor 2 (I/O shell); what a topic says is decoded in kcg-api.

use std::time::Duration;

use kcg_api::topic::{self, TopicFacts};
use kube::Client;
use serde_json::Value;

use crate::{
    discovery::Candidates,
    follow::{Follower, Health, Projection, Scope, Source, State, Told},
};

/// After this long without a sign of life, what a watch told says nothing about now.
pub const TRUSTED: Duration = Duration::from_mins(1);

/// Strimzi's topics in the best version that is served. [`TopicFacts::decode`] makes something of every object,
/// so this follower never tells [`crate::follow::Change::Unparsable`].
pub fn follower(client: Client, scope: Scope) -> Follower<TopicFacts> {
    let candidates = Candidates::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let projection = Projection::of(|topic: Value| TopicFacts::decode(&topic));
    Follower::new(topic::PLURAL, client, Source::optional(candidates, scope), projection)
}

/// What can be made of the topics that were told of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum View {
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
    CutOff(State),
}

impl View {
    /// A watch that breaks is believed for [`TRUSTED`], and one that was cut off again at its first sign of life. A
    /// kind that has come is there once its objects are listed.
    pub fn of(health: &Health) -> Self {
        match (&health.state, health.told) {
            (State::Absent, _) => Self::NotServed,
            (State::Forbidden(said), _) => Self::Forbidden(said.clone()),
            (_, Told::Nothing | Told::Refusal) => Self::Starting,
            (state, _) if health.age > TRUSTED => Self::CutOff(state.clone()),
            (_, Told::Absence) => Self::NotServed,
            (_, Told::Everything) => Self::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &State, told: Told, age: Duration) -> View {
        View::of(&Health { state: state.clone(), told, age })
    }

    fn hindered() -> [State; 3] {
        [State::Live, State::Starting, State::Broken("connection refused".to_owned())]
    }

    #[test]
    fn what_was_told_counts_as_long_as_the_cluster_was_heard_within_a_minute() {
        for state in hindered() {
            assert_eq!(view(&state, Told::Everything, TRUSTED), View::Live, "{state}");
            let longer = TRUSTED + Duration::from_secs(1);
            assert_eq!(view(&state, Told::Everything, longer), View::CutOff(state.clone()), "{state}");
        }
    }

    #[test]
    fn topics_that_were_not_listed_are_not_taken_for_missing() {
        for state in hindered() {
            for told in [Told::Nothing, Told::Refusal] {
                assert_eq!(view(&state, told, Duration::ZERO), View::Starting, "{state}");
            }
            assert_eq!(view(&state, Told::Absence, Duration::ZERO), View::NotServed, "{state}");
        }
    }

    #[test]
    fn a_cluster_without_topics_is_told_from_one_that_hides_them() {
        for told in [Told::Nothing, Told::Refusal, Told::Absence, Told::Everything] {
            assert_eq!(view(&State::Absent, told, Duration::ZERO), View::NotServed);
            let hidden = view(&State::Forbidden("no".to_owned()), told, 2 * TRUSTED);
            assert_eq!(hidden, View::Forbidden("no".to_owned()));
        }
    }
}
