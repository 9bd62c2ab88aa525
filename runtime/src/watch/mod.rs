//! Watches that keep small facts. Each object that the API server sends is reduced at once to what
//! the caller wants to remember, and dropped.
//!
//! [`Watcher`] is what client-go calls an informer, without the store: the handler keeps the facts.
//! Compared with kube-runtime's `watcher`, it reports each sign of life of the connection
//! ([`WatchHealth::age`]), applies a deadline to lists, keeps working if a kind is not served, and
//! reports deletions that it missed as events.

mod availability;
mod end;
mod handler;
mod health;
mod key;
mod known_keys;
mod list_watch;
mod namespace_watch;
mod spec;
mod transform;
mod watcher;

use std::time::Duration;

pub use availability::Availability;
pub use health::{NamespaceHealth, SyncState, WatchHealth, WatchMetrics, WatchState};
pub use key::ObjectKey;
use kube::core::ApiResource;
pub use spec::{Scope, WatchSpec};
pub use transform::Transform;
pub use watcher::Watcher;

/// How long the server keeps a watch open. This limits how long a dead connection goes unnoticed: a
/// watch that is still open a few seconds later is considered dead.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(45);

/// What a [`Watcher`] passes to its handler, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<F> {
    /// The object exists and has this fact. Each later list repeats the event for every object:
    /// compare it with the fact you have.
    Applied(ObjectKey, F),
    /// The object is gone. The deletion was seen, or a later list no longer contains the object.
    Deleted(ObjectKey),
    /// The object exists but the transform cannot read it.
    Unparsable(ObjectKey, Unparsable),
    /// A list of this namespace, or of the whole cluster, is complete: every object that it has was passed, and
    /// every object that was passed before and that it lacks is [`Event::Deleted`].
    Listed(Option<String>),
    /// Every object that exists and may be read has been passed. Repeated after each later list.
    Synced,
    /// The state changed in one namespace or in all; [`WatchHealth`] has the state of each. After
    /// [`WatchState::NotServed`] the objects are gone with their kind, and the handler decides
    /// whether to keep their facts: objects that are missing when the kind returns are
    /// [`Event::Deleted`] then.
    StateChanged(WatchState),
    /// An optional kind is served, and watched in this version from now on.
    Served(ApiResource),
}

/// An object that the transform cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unparsable {
    /// The object's `metadata.uid`.
    pub uid: String,
    /// The object's `metadata.generation`.
    pub generation: i64,
    /// The field and the reason.
    pub error: String,
}
