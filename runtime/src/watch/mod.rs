//! A watch kept as small facts. Each object that comes from the API server is turned at once into the fact that
//! its owner wants to remember, and dropped. Floor 2 (I/O shell).
//!
//! Why not kube's `watcher()`: it shows neither bookmarks nor newly opened watches, so nobody can tell an idle
//! watch from a dead one; its lists have no deadline; one object that does not parse ends the whole list; and
//! what vanished while the watch was broken is only to be guessed from what a new list leaves out.

mod availability;
mod health;
mod key;
mod known_keys;
mod list_watch;
mod namespace_watch;
mod spec;
mod watcher;

use std::time::Duration;

pub use availability::Availability;
pub use health::{NamespaceHealth, SyncState, WatchHealth, WatchMetrics, WatchState};
pub use key::ObjectKey;
use kube::core::ApiResource;
pub use spec::{Scope, Transform, WatchSpec};
pub use watcher::Watcher;

/// How long the server keeps a watch open. It bounds the time in which a dead connection goes unnoticed: a
/// watch that is still open a few seconds after this is given up as dead.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(45);

/// What a follower tells its handler, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<F> {
    /// An object is there, as this fact says. Comes again for every object whenever a list is taken anew:
    /// compare with what you have.
    Applied(ObjectKey, F),
    /// An object is gone, whether its end was seen or only noticed in a later list.
    Deleted(ObjectKey),
    /// An object is there, and it is not of the shape that the projection wants.
    Unparsable(ObjectKey, Unparsable),
    /// Everything that exists, and may be read, has been told. Comes again after every later list.
    Synced,
    /// What stands in the way of the watch has come to be this in a namespace, or in all: each one's state is the
    /// [`WatchHealth`]'s to tell. Where it is [`WatchState::NotServed`], the objects of the kind
    /// went with it: whether their facts are forgotten or held is the owner's to decide. Those that are not
    /// there when the kind comes back are told as deleted then.
    StateChanged(WatchState),
    /// An optional kind is served, and followed, in this version from now on.
    Served(ApiResource),
}

/// What is known of an object that does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unparsable {
    pub uid: String,
    pub generation: i64,
    /// Which field, and why.
    pub error: String,
}
