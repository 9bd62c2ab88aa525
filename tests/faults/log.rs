//! What a proxy has seen: every request and every event of a watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::plan::EVENT;
use crate::request::RequestId;

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    requests: Vec<Logged>,
    events: BTreeMap<String, usize>,
}

/// One request.
struct Logged {
    id: RequestId,
    began: Instant,
    /// The status that the operator got.
    answered: Option<u16>,
}

/// A request that is not answered yet.
pub struct Pending {
    log: Log,
    index: usize,
}

impl Log {
    pub fn begin(&self, id: &RequestId) -> Pending {
        let mut state = self.0.lock();
        state.requests.push(Logged { id: id.clone(), began: Instant::now(), answered: None });
        Pending { log: self.clone(), index: state.requests.len() - 1 }
    }

    pub fn event(&self, resource: &str) {
        *self.0.lock().events.entry(resource.to_owned()).or_default() += 1;
    }

    /// How many events of watches there were.
    pub fn events(&self) -> usize {
        self.0.lock().events.values().sum()
    }

    /// How often each request was made. Events of watches are requests of the verb [`EVENT`].
    pub fn counts(&self) -> BTreeMap<RequestId, usize> {
        let state = self.0.lock();
        let events = state.events.iter().map(|(resource, count)| {
            (RequestId { verb: EVENT.to_owned(), resource: resource.clone() }, *count)
        });
        let mut counts: BTreeMap<RequestId, usize> = events.collect();
        for request in &state.requests {
            *counts.entry(request.id.clone()).or_default() += 1;
        }
        counts
    }

    /// How long no write was made, the Lease's aside; the whole time if there was none.
    pub fn quiet_for(&self, since: Instant) -> Duration {
        let state = self.0.lock();
        let mut writes = state.requests.iter().rev();
        let last = writes.find(|request| request.id.is_write() && !request.id.is_of_lease());
        last.map_or(since, |write| write.began.max(since)).elapsed()
    }

    /// How long after this moment the Lease was first written; `None` if it was not.
    pub fn lease_written_after(&self, since: Instant) -> Option<Duration> {
        let state = self.0.lock();
        let mut later = state.requests.iter().filter(|request| request.began >= since);
        let write = later.find(|request| request.id.is_of_lease() && request.id.is_write())?;
        Some(write.began.duration_since(since))
    }

    /// Whether this resource was listed since then.
    pub fn has_listed(&self, resource: &str, since: Instant) -> bool {
        self.0.lock().requests.iter().any(|request| {
            request.began >= since
                && request.id.verb == "list"
                && request.id.resource == resource
                && request.answered == Some(200)
        })
    }
}

impl Pending {
    pub fn answered(&self, status: u16) {
        self.log.0.lock().requests[self.index].answered = Some(status);
    }
}
