//! What a follower has told so far, and the wait for what it is to tell.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use kcg_runtime::watch::{Event, Unparsable, WatchHealth, WatchState, Watcher};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A busy computer needs many times the usual second.
const LIMIT: Duration = Duration::from_mins(2);

pub struct Told<F> {
    changes: UnboundedReceiver<Event<F>>,
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

impl<F: Debug + Send + 'static> Told<F> {
    pub fn by(follower: Watcher<F>) -> Self {
        let (sender, changes) = unbounded_channel();
        let (health, stop) = (follower.health(), CancellationToken::new());
        tokio::spawn(follower.run(stop.clone(), move |change| drop(sender.send(change))));
        Self {
            changes,
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

    /// Takes in changes until `condition` holds; panics with all that was told where it never does.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = async {
            while !condition(self) {
                let change = self.changes.recv().await.expect("the follower ended");
                self.take_in(change);
            }
        };
        let met = timeout(LIMIT, waited).await.is_ok();
        assert!(
            met,
            "never {what}: {:?}; unparsable {:?}; deleted {:?}; synced {}; states {:?}; served {:?}",
            self.facts, self.unparsable, self.deleted, self.synced, self.states, self.served
        );
    }

    fn take_in(&mut self, change: Event<F>) {
        match change {
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
            Event::Synced => self.synced += 1,
            Event::StateChanged(state) => self.states.push(state),
            Event::Served(resource) => self.served.push(resource.version),
        }
    }
}
