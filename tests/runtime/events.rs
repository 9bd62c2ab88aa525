//! The events of a watcher so far, and waits for further ones.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use kcg_runtime::watch::{Event, Unparsable, WatchHealth, WatchState, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The usual time is a second; a busy computer needs much longer.
const LIMIT: Duration = Duration::from_mins(2);

/// The state that a watcher's events add up to.
pub struct RecordedEvents<F> {
    events: UnboundedReceiver<Event<F>>,
    pub health: WatchHealth,
    /// By `namespace/name`.
    pub facts: BTreeMap<String, F>,
    pub unparsable: BTreeMap<String, Unparsable>,
    pub deleted: Vec<String>,
    pub synced: usize,
    pub states: Vec<WatchState>,
    pub served: Vec<String>,
    _stop: DropGuard,
}

impl<F: Debug + Send + 'static> RecordedEvents<F> {
    /// Runs the watcher until this is dropped.
    pub fn of(watcher: Watcher<F>) -> Self {
        let (sender, events) = unbounded_channel();
        let (health, stop) = (watcher.health(), CancellationToken::new());
        tokio::spawn(watcher.run(stop.clone(), move |event| drop(sender.send(event))));
        Self {
            events,
            health,
            facts: BTreeMap::new(),
            unparsable: BTreeMap::new(),
            deleted: Vec::new(),
            synced: 0,
            states: Vec::new(),
            served: Vec::new(),
            _stop: stop.drop_guard(),
        }
    }

    /// Records events until `condition` holds; panics with all that was recorded if it does not
    /// within the limit.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = async {
            while !condition(self) {
                let event = self.events.recv().await.expect("the watcher ended");
                self.record(event);
            }
        };
        let met = timeout(LIMIT, waited).await.is_ok();
        assert!(
            met,
            "never {what}: {:?}; unparsable {:?}; deleted {:?}; synced {}; states {:?}; served {:?}",
            self.facts, self.unparsable, self.deleted, self.synced, self.states, self.served
        );
    }

    fn record(&mut self, event: Event<F>) {
        match event {
            Event::Applied(key, fact) => {
                self.unparsable.remove(key.as_str());
                self.facts.insert(key.to_string(), fact);
            }
            Event::Unparsable(key, error) => {
                self.facts.remove(key.as_str());
                self.unparsable.insert(key.to_string(), error);
            }
            Event::Deleted(key) => {
                self.facts.remove(key.as_str());
                self.unparsable.remove(key.as_str());
                self.deleted.push(key.to_string());
            }
            Event::Listed(_) => {}
            Event::Synced => self.synced += 1,
            Event::StateChanged(state) => self.states.push(state),
            Event::Served(resource) => self.served.push(resource.version),
        }
    }
}
