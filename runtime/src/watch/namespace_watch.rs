//! One watch of one namespace: list, then events, then again, for as long as the server knows the kind.

use std::{fmt, time::Duration};

use futures::StreamExt as _;
use kube::api::WatchEvent;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Event, ObjectKey, Transform, Unparsable, WatchHealth, WatchState,
    known_keys::KnownKeys,
    list_watch::{ListWatch, Meta},
};
use crate::{
    backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT, SETTLED},
    client::RequestError,
};

/// How much longer than it promised the server may keep a watch open.
const GRACE: Duration = Duration::from_secs(5);

/// After this many refusals in a row to go on from where we were, the list is taken anew: the server may have
/// been put back to an earlier state, of which our version is the future.
const REFUSALS: u32 = 3;

/// A list taken after this time is no sign of a storm.
const LISTED_LONG_AGO: Duration = Duration::from_secs(30);

/// Whoever wants to know of the changes; told of one at a time.
pub(super) struct Handler<F>(Mutex<Box<dyn FnMut(Event<F>) + Send>>);

impl<F> Handler<F> {
    pub fn new(handle: impl FnMut(Event<F>) + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(handle)))
    }

    pub fn handle(&self, change: Event<F>) {
        (self.0.lock())(change);
    }

    pub fn handle_state(&self, changed: Option<WatchState>) {
        if let Some(state) = changed {
            self.handle(Event::StateChanged(state));
        }
    }
}

impl<F> fmt::Debug for Handler<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handler")
    }
}

/// The state that a failed request leaves a watch in.
pub(super) fn state_after(error: &RequestError) -> WatchState {
    match error.status() {
        Some(status) if status.code == 404 => WatchState::NotServed,
        Some(status) if status.is_forbidden() => WatchState::Forbidden(status.message.clone()),
        _ => WatchState::Failing(error.to_string()),
    }
}

/// How a watch came to its end.
#[derive(Debug)]
enum End {
    /// The server closed it, as it does after the time that we asked for.
    Closed,
    /// The server no longer has the history since our version (HTTP 410).
    Expired,
    Failed(RequestError),
}

pub(super) struct NamespaceWatch<'a, F> {
    list_watch: ListWatch,
    slot: usize,
    known_keys: &'a mut KnownKeys,
    health: &'a WatchHealth,
    projection: &'a Transform<F>,
    handler: &'a Handler<F>,
    leave_when_absent: bool,
    /// Between attempts that fail, between watches that the server closes at once, and between lists.
    failing: Backoff,
    closing: Backoff,
    listing: Backoff,
}

impl<'a, F> NamespaceWatch<'a, F> {
    pub fn new(
        list_watch: ListWatch,
        slot: usize,
        known_keys: &'a mut KnownKeys,
        health: &'a WatchHealth,
        projection: &'a Transform<F>,
        handler: &'a Handler<F>,
        leave_when_absent: bool,
    ) -> Self {
        let failing = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let closing = Backoff::new(FIRST_WAIT / 5, Duration::from_secs(1));
        let listing = Backoff::new(FIRST_WAIT / 5, 2 * LONGEST_WAIT);
        Self {
            list_watch,
            slot,
            known_keys,
            health,
            projection,
            handler,
            leave_when_absent,
            failing,
            closing,
            listing,
        }
    }

    /// Returns only if it may leave, once the server knows no such kind.
    pub async fn follow(mut self) {
        loop {
            let began = Instant::now();
            let outcome = match self.list().await {
                Ok(version) => self.stay(version).await,
                Err(error) => Err(error),
            };
            if began.elapsed() >= LISTED_LONG_AGO {
                self.listing.recover();
            }
            let backoff = match outcome {
                Ok(()) => &mut self.listing,
                // The history went on too far while the pages were fetched.
                Err(error) if error.code() == Some(410) => &mut self.listing,
                Err(error) if self.note(&error) == WatchState::NotServed && self.leave_when_absent => return,
                Err(_) => &mut self.failing,
            };
            sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// Tells all that exists, and what no longer does; returns the version to watch from.
    async fn list(&mut self) -> Result<String, RequestError> {
        self.known_keys.begin_list();
        let mut next = String::new();
        let version = loop {
            let page = self.list_watch.list(&next).await?;
            self.health.mark_alive(self.slot);
            page.items.iter().for_each(|object| drop(self.applied(object)));
            next = page.metadata.next;
            if next.is_empty() {
                break page.metadata.resource_version;
            }
        };
        for key in self.known_keys.end_list() {
            self.handler.handle(Event::Deleted(key));
        }
        self.handler.handle_state(self.health.set_listed(self.slot));
        if self.health.waiting_for().is_none() {
            self.handler.handle(Event::Synced);
        }
        Ok(version)
    }

    /// Watches on from one version to the next until a new list is needed; an error where the kind itself is
    /// in question.
    async fn stay(&mut self, mut version: String) -> Result<(), RequestError> {
        let mut refusals = 0;
        loop {
            let opened = Instant::now();
            let end = self.watch(&mut version).await;
            if opened.elapsed() >= SETTLED {
                self.failing.recover();
                self.closing.recover();
                refusals = 0;
            }
            match end {
                End::Closed if opened.elapsed() >= SETTLED => {}
                End::Closed => sleep(self.closing.after_failure(fastrand::f64())).await,
                End::Expired => return Ok(()),
                End::Failed(error) => {
                    refusals += u32::from(error.code().is_some());
                    if error.code() == Some(404) || refusals >= REFUSALS {
                        return Err(error);
                    }
                    self.note(&error);
                    sleep(self.failing.after_failure(fastrand::f64())).await;
                }
            }
        }
    }

    /// One watch, from its opening to its end; `version` moves on with each event.
    async fn watch(&mut self, version: &mut String) -> End {
        let lifetime = self.list_watch.lifetime(fastrand::f64());
        let mut events = match self.list_watch.watch(version, lifetime).await {
            Ok(events) => events,
            Err(error) => return ended(error),
        };
        self.handler.handle_state(self.health.set(self.slot, WatchState::Live));
        let dead = Instant::now() + lifetime + GRACE;
        loop {
            self.health.mark_alive(self.slot);
            let event = match timeout_at(dead, events.next()).await {
                Ok(None) => return End::Closed,
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return ended(self.list_watch.failed(error)),
                Err(_) => return End::Failed(self.list_watch.silent(lifetime + GRACE)),
            };
            let met = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.applied(&object),
                WatchEvent::Deleted(object) => self.deleted(&object),
                WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) => {
                    return ended(self.list_watch.failed(kube::Error::Api(status)));
                }
            };
            if let Some(newer) = met.filter(|newer| !newer.is_empty()) {
                *version = newer;
            }
        }
    }

    /// Tells what an object says, and returns its version.
    fn applied(&mut self, object: &RawValue) -> Option<String> {
        let Some(meta) = Meta::of(object) else {
            tracing::warn!(watch = self.health.name(), "ignored an object without a name");
            return None;
        };
        let key = meta.key();
        self.known_keys.saw(&key);
        self.handler.handle(match self.projection.apply(object.get()) {
            Ok(fact) => Event::Applied(key, fact),
            Err(error) => {
                Event::Unparsable(key, Unparsable { uid: meta.uid, generation: meta.generation, error })
            }
        });
        Some(meta.resource_version)
    }

    fn deleted(&mut self, object: &RawValue) -> Option<String> {
        let meta = Meta::of(object)?;
        let key: ObjectKey = meta.key();
        if self.known_keys.lost(&key) {
            self.handler.handle(Event::Deleted(key));
        }
        Some(meta.resource_version)
    }

    /// Makes a failure known, once for each new one.
    fn note(&self, error: &RequestError) -> WatchState {
        let state = state_after(error);
        let changed = match state {
            // That is so in every namespace.
            WatchState::NotServed if self.leave_when_absent => self.health.set_all(WatchState::NotServed),
            _ => self.health.set(self.slot, state.clone()),
        };
        if changed.is_some() {
            tracing::warn!(watch = self.health.name(), %error, "watch is hindered");
        }
        self.handler.handle_state(changed);
        state
    }
}

fn ended(error: RequestError) -> End {
    if error.code() == Some(410) { End::Expired } else { End::Failed(error) }
}
