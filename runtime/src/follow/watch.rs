//! One watch of one namespace: list, then events, then again, for as long as the server knows the kind.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::api::WatchEvent;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Change, Key, Pace, Projection, Pulse, State, Unparsable,
    ledger::Ledger,
    pace::{FIRST_WAIT, LONGEST_WAIT, SETTLED},
    raw::{Collection, Meta},
};
use crate::calls::CallError;

/// How much longer than it promised the server may keep a watch open.
const GRACE: Duration = Duration::from_secs(5);

/// After this many refusals in a row to go on from where we were, the list is taken anew: the server may have
/// been put back to an earlier state, of which our version is the future.
const REFUSALS: u32 = 3;

/// A list taken after this time is no sign of a storm.
const LISTED_LONG_AGO: Duration = Duration::from_secs(30);

/// Whoever wants to know of the changes; told of one at a time.
pub(super) struct Owner<F>(Mutex<Box<dyn FnMut(Change<F>) + Send>>);

impl<F> Owner<F> {
    pub fn new(tell: impl FnMut(Change<F>) + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(tell)))
    }

    pub fn tell(&self, change: Change<F>) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(change);
    }

    pub fn tell_state(&self, changed: Option<State>) {
        if let Some(state) = changed {
            self.tell(Change::State(state));
        }
    }
}

impl<F> fmt::Debug for Owner<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Owner")
    }
}

/// The state that a failed request leaves a watch in.
pub(super) fn state_after(error: &CallError) -> State {
    match error.status() {
        Some(status) if status.code == 404 => State::Absent,
        Some(status) if status.is_forbidden() => State::Forbidden(status.message.clone()),
        _ => State::Broken(error.to_string()),
    }
}

/// How a watch came to its end.
#[derive(Debug)]
enum End {
    /// The server closed it, as it does after the time that we asked for.
    Closed,
    /// The server no longer has the history since our version (HTTP 410).
    Expired,
    Failed(CallError),
}

pub(super) struct Watch<'a, F> {
    collection: Collection,
    slot: usize,
    ledger: &'a mut Ledger,
    pulse: &'a Pulse,
    projection: &'a Projection<F>,
    owner: &'a Owner<F>,
    leave_when_absent: bool,
    /// Between attempts that fail, between watches that the server closes at once, and between lists.
    failing: Pace,
    closing: Pace,
    listing: Pace,
}

impl<'a, F> Watch<'a, F> {
    pub fn new(
        collection: Collection,
        slot: usize,
        ledger: &'a mut Ledger,
        pulse: &'a Pulse,
        projection: &'a Projection<F>,
        owner: &'a Owner<F>,
        leave_when_absent: bool,
    ) -> Self {
        let failing = Pace::new(FIRST_WAIT, LONGEST_WAIT);
        let closing = Pace::new(FIRST_WAIT / 5, Duration::from_secs(1));
        let listing = Pace::new(FIRST_WAIT / 5, 2 * LONGEST_WAIT);
        Self {
            collection,
            slot,
            ledger,
            pulse,
            projection,
            owner,
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
            let pace = match outcome {
                Ok(()) => &mut self.listing,
                // The history went on too far while the pages were fetched.
                Err(error) if error.code() == Some(410) => &mut self.listing,
                Err(error) if self.note(&error) == State::Absent && self.leave_when_absent => return,
                Err(_) => &mut self.failing,
            };
            sleep(pace.after_failure(fastrand::f64())).await;
        }
    }

    /// Tells all that exists, and what no longer does; returns the version to watch from.
    async fn list(&mut self) -> Result<String, CallError> {
        self.ledger.begin_list();
        let mut next = String::new();
        let version = loop {
            let page = self.collection.list(&next).await?;
            self.pulse.beat(self.slot);
            page.items.iter().for_each(|object| drop(self.applied(object)));
            next = page.metadata.next;
            if next.is_empty() {
                break page.metadata.resource_version;
            }
        };
        for key in self.ledger.end_list() {
            self.owner.tell(Change::Deleted(key));
        }
        self.owner.tell_state(self.pulse.set_listed(self.slot));
        if self.pulse.waits_for().is_none() {
            self.owner.tell(Change::Synced);
        }
        Ok(version)
    }

    /// Watches on from one version to the next until a new list is needed; an error where the kind itself is
    /// in question.
    async fn stay(&mut self, mut version: String) -> Result<(), CallError> {
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
        let lifetime = self.collection.lifetime(fastrand::f64());
        let mut events = match self.collection.watch(version, lifetime).await {
            Ok(events) => events,
            Err(error) => return ended(error),
        };
        self.owner.tell_state(self.pulse.set(self.slot, State::Live));
        let dead = Instant::now() + lifetime + GRACE;
        loop {
            self.pulse.beat(self.slot);
            let event = match timeout_at(dead, events.next()).await {
                Ok(None) => return End::Closed,
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return ended(self.collection.failed(error)),
                Err(_) => return End::Failed(self.collection.silent(lifetime + GRACE)),
            };
            let met = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.applied(&object),
                WatchEvent::Deleted(object) => self.deleted(&object),
                WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) => {
                    return ended(self.collection.failed(kube::Error::Api(status)));
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
            tracing::warn!(watch = self.pulse.name(), "ignored an object without a name");
            return None;
        };
        let key = meta.key();
        self.ledger.saw(&key);
        self.owner.tell(match self.projection.apply(object.get()) {
            Ok(fact) => Change::Applied(key, fact),
            Err(error) => {
                Change::Unparsable(key, Unparsable { uid: meta.uid, generation: meta.generation, error })
            }
        });
        Some(meta.resource_version)
    }

    fn deleted(&mut self, object: &RawValue) -> Option<String> {
        let meta = Meta::of(object)?;
        let key: Key = meta.key();
        if self.ledger.lost(&key) {
            self.owner.tell(Change::Deleted(key));
        }
        Some(meta.resource_version)
    }

    /// Makes a failure known, once for each new one.
    fn note(&self, error: &CallError) -> State {
        let state = state_after(error);
        let changed = match state {
            // That is so in every namespace.
            State::Absent if self.leave_when_absent => self.pulse.set_all(State::Absent),
            _ => self.pulse.set(self.slot, state.clone()),
        };
        if changed.is_some() {
            tracing::warn!(watch = self.pulse.name(), %error, "watch is hindered");
        }
        self.owner.tell_state(changed);
        state
    }
}

fn ended(error: CallError) -> End {
    if error.code() == Some(410) { End::Expired } else { End::Failed(error) }
}
