//! The groups that wait to be looked at. Each is in the queue at most once and looked at by one worker at a
//! time; fresh changes go before the start-up backlog and retries.

use kcg_runtime::watch::ObjectKey;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What a group waits behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The start-up backlog, and what is tried again.
    Background,
    /// Something has just changed.
    Fresh,
}

/// Where one group is; one that is nowhere is not kept.
#[derive(Debug, Default)]
struct Place {
    queued: Option<Lane>,
    running: bool,
    /// It is to be queued again once the worker has done.
    again: Option<Lane>,
    due: Option<Instant>,
}

impl Place {
    fn is_empty(&self) -> bool {
        self.queued.is_none() && !self.running && self.due.is_none()
    }
}

/// Groups in the order in which their turn comes: one of each namespace after the other, so that a namespace with
/// thousands of groups holds none of the others up.
#[derive(Debug, Default)]
struct Line {
    /// Namespaces that have groups in the line.
    turns: VecDeque<Box<str>>,
    groups: HashMap<Box<str>, VecDeque<ObjectKey>>,
}

impl Line {
    fn push(&mut self, key: ObjectKey) {
        let namespace: Box<str> = key.namespace().into();
        let groups = self.groups.entry(namespace.clone()).or_default();
        if groups.is_empty() {
            self.turns.push_back(namespace);
        }
        groups.push_back(key);
    }

    fn pop(&mut self) -> Option<ObjectKey> {
        let namespace = self.turns.pop_front()?;
        let groups = self.groups.get_mut(&namespace)?;
        let key = groups.pop_front();
        if groups.is_empty() {
            self.groups.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        key
    }
}

/// The queue itself, without waiting. The moment is an argument.
#[derive(Debug, Default)]
struct Lanes {
    places: HashMap<ObjectKey, Place>,
    fresh: Line,
    background: Line,
    later: BinaryHeap<Reverse<(Instant, ObjectKey)>>,
}

impl Lanes {
    fn add(&mut self, key: ObjectKey, lane: Lane) {
        let place = self.places.entry(key.clone()).or_default();
        if place.running {
            place.again = place.again.max(Some(lane));
        } else if place.queued < Some(lane) {
            // An entry in the slower lane is passed over when its turn comes.
            place.queued = Some(lane);
            match lane {
                Lane::Fresh => self.fresh.push(key),
                Lane::Background => self.background.push(key),
            }
        }
    }

    fn add_later(&mut self, key: ObjectKey, at: Instant) {
        let place = self.places.entry(key.clone()).or_default();
        if place.queued.is_none() && place.due.is_none_or(|due| at < due) {
            place.due = Some(at);
            self.later.push(Reverse((at, key)));
        }
    }

    fn take(&mut self, now: Instant) -> Option<ObjectKey> {
        self.take_due(now);
        let (fresh, background) = (&mut self.fresh, &mut self.background);
        let lanes = std::iter::from_fn(|| {
            fresh
                .pop()
                .map(|key| (key, Lane::Fresh))
                .or_else(|| background.pop().map(|key| (key, Lane::Background)))
        });
        for (key, lane) in lanes {
            if let Some(place) = self.places.get_mut(&key).filter(|place| place.queued == Some(lane)) {
                // Whatever is still to come later, this look finds out anew.
                *place = Place { running: true, ..Place::default() };
                return Some(key);
            }
        }
        None
    }

    fn take_due(&mut self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((at, key))) = self.later.pop() else {
                return;
            };
            if let Some(place) = self.places.get_mut(&key).filter(|place| place.due == Some(at)) {
                place.due = None;
                self.add(key, Lane::Background);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.later.peek().map(|Reverse((at, _))| *at)
    }

    fn done(&mut self, key: ObjectKey, later: Option<Instant>) {
        let Some(place) = self.places.get_mut(&key) else {
            return;
        };
        place.running = false;
        if let Some(lane) = place.again.take() {
            return self.add(key, lane);
        }
        if let Some(at) = later {
            return self.add_later(key, at);
        }
        if place.is_empty() {
            self.places.remove(&key);
        }
    }

    fn depth(&self) -> usize {
        self.places.values().filter(|place| place.queued.is_some()).count()
    }
}

/// The queue, shared between the watches that fill it and the workers that empty it. While nobody leads it is
/// shut: what is added is dropped, since a new leader looks at every group.
#[derive(Debug, Default)]
pub struct Queue {
    open: Mutex<Option<Lanes>>,
    filled: Notify,
}

impl Queue {
    /// From now on what is added counts.
    pub fn open(&self) {
        *self.lanes() = Some(Lanes::default());
    }

    pub fn shut(&self) {
        *self.lanes() = None;
    }

    /// Something of these groups has changed.
    pub fn add(&self, keys: Vec<ObjectKey>) {
        // A change that concerns very many is a backlog of its own.
        let lane = if keys.len() > MANY { Lane::Background } else { Lane::Fresh };
        self.add_to(lane, keys);
    }

    /// These groups have to be looked at, and nothing is known to have changed.
    pub fn add_backlog(&self, keys: Vec<ObjectKey>) {
        self.add_to(Lane::Background, keys);
    }

    fn add_to(&self, lane: Lane, keys: Vec<ObjectKey>) {
        if keys.is_empty() {
            return;
        }
        if let Some(lanes) = self.lanes().as_mut() {
            for key in keys {
                lanes.add(key, lane);
            }
        }
        self.filled.notify_one();
    }

    /// The next group to look at; it is the caller's until [`Self::done`].
    pub async fn next(&self) -> ObjectKey {
        loop {
            let due = {
                let mut lanes = self.lanes();
                if let Some(key) = lanes.as_mut().and_then(|lanes| lanes.take(Instant::now())) {
                    return key;
                }
                lanes.as_ref().and_then(Lanes::next_due)
            };
            match due {
                Some(due) => tokio::select! {
                    () = self.filled.notified() => {}
                    () = sleep_until(due) => {}
                },
                None => self.filled.notified().await,
            }
        }
    }

    /// The look at a group is over; it is looked at again `later`, unless something changes before.
    pub fn done(&self, key: ObjectKey, later: Option<Instant>) {
        if let Some(lanes) = self.lanes().as_mut() {
            lanes.done(key, later);
        }
        self.filled.notify_one();
    }

    /// Groups that wait for a worker now.
    pub fn depth(&self) -> usize {
        self.lanes().as_ref().map_or(0, Lanes::depth)
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn lanes(&self) -> MutexGuard<'_, Option<Lanes>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More groups than this at once go behind single changes.
const MANY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_fresh_change_goes_before_the_backlog_and_once() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for name in ["a", "b", "c"] {
            lanes.add(key(name), Lane::Background);
        }
        lanes.add(key("c"), Lane::Fresh);
        lanes.add(key("c"), Lane::Background);
        assert_eq!(lanes.depth(), 3);
        let taken: Vec<ObjectKey> = std::iter::from_fn(|| lanes.take(now)).collect();
        assert_eq!(taken, [key("c"), key("a"), key("b")]);
    }

    #[test]
    fn a_crowded_namespace_holds_none_of_the_others_up() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for number in 0..1000 {
            lanes.add(ObjectKey::new("crowded", &number.to_string()), Lane::Fresh);
        }
        lanes.add(key("a"), Lane::Fresh);
        lanes.add(key("b"), Lane::Fresh);
        let taken: Vec<ObjectKey> = std::iter::from_fn(|| lanes.take(now)).collect();
        let place = |name: &str| taken.iter().position(|taken| *taken == key(name));
        assert_eq!((place("a"), place("b"), taken.len()), (Some(1), Some(3), 1002));
        assert!(lanes.fresh.turns.is_empty() && lanes.fresh.groups.is_empty());
    }

    #[test]
    fn changes_during_a_look_make_one_more_look() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.add(key("a"), Lane::Fresh);
        assert_eq!(lanes.take(now), Some(key("a")));
        lanes.add(key("a"), Lane::Fresh);
        lanes.add(key("a"), Lane::Background);
        assert_eq!(lanes.take(now), None, "one worker at a time");
        lanes.done(key("a"), Some(at(now, 9)));
        assert_eq!(lanes.take(now), Some(key("a")));
        lanes.done(key("a"), None);
        assert_eq!(lanes.take(at(now, 100)), None);
        assert!(lanes.places.is_empty());
    }

    #[test]
    fn a_retry_comes_when_it_is_due_and_a_change_comes_before_it() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.add(key("a"), Lane::Fresh);
        lanes.take(now);
        lanes.done(key("a"), Some(at(now, 5)));
        assert_eq!(lanes.take(at(now, 4)), None);
        lanes.add(key("a"), Lane::Fresh);
        assert_eq!(lanes.take(at(now, 4)), Some(key("a")));
        lanes.done(key("a"), Some(at(now, 10)));
        assert_eq!(lanes.take(at(now, 6)), None, "the look in between set it anew");
        assert_eq!(lanes.take(at(now, 10)), Some(key("a")));
        lanes.done(key("a"), None);
        assert!(lanes.places.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_worker_is_woken_by_a_change_and_by_time() {
        let queue = Queue::default();
        queue.add(vec![key("dropped")]);
        queue.open();
        let (first, ()) = tokio::join!(queue.next(), async { queue.add(vec![key("a")]) });
        assert_eq!(first, key("a"));
        let before = Instant::now();
        queue.done(key("a"), Some(before + Duration::from_secs(3)));
        assert_eq!(queue.next().await, key("a"));
        assert!(before.elapsed() >= Duration::from_secs(3));
    }
}
