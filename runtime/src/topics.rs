//! The KafkaTopic watch that both processes share: the controller for its ceilings, the webhook for its rules.
//! Floor 2 (I/O shell); what a topic says is decoded in kcg-api.

use kcg_api::topic::{self, TopicFacts};
use kube::Client;
use serde_json::Value;

use crate::{
    discovery::Candidates,
    follow::{Follower, Projection, Scope, Source},
};

/// Strimzi's topics in the best version that is served. [`TopicFacts::decode`] makes something of every object,
/// so this follower never tells [`crate::follow::Change::Unparsable`].
pub fn follower(client: Client, scope: Scope) -> Follower<TopicFacts> {
    let candidates = Candidates::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let projection = Projection::of(|topic: Value| TopicFacts::decode(&topic));
    Follower::new(topic::PLURAL, client, Source::optional(candidates, scope), projection)
}
