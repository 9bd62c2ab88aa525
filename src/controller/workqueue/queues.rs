//! The workqueue without waiting and locks. Pure: the time is an argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use kcg_runtime::watch::ObjectKey;
use tokio::time::Instant;

/// The priority of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// The backlog at start-up, retries, and changes that affect very many groups.
    Low,
    /// Something has just changed.
    High,
}

/// The state of one group. A group that is neither queued, running nor due has none.
#[derive(Debug, Default)]
struct ItemState {
    queued: Option<Priority>,
    running: bool,
    /// It is queued again when the worker is done.
    requeue: Option<Priority>,
    due: Option<Instant>,
    /// It is not queued before it is due, whatever changes.
    is_limited: bool,
}

impl ItemState {
    fn is_empty(&self) -> bool {
        self.queued.is_none() && !self.running && self.due.is_none()
    }
}

/// Groups in their order: one of each namespace in turn, so that a namespace with thousands of
/// groups does not delay the others.
#[derive(Debug, Default)]
struct FairQueue {
    /// Namespaces that have groups in the queue.
    turns: VecDeque<Box<str>>,
    groups: HashMap<Box<str>, VecDeque<ObjectKey>>,
}

impl FairQueue {
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

/// The queues of both priorities, and the groups that are queued at a later time.
#[derive(Debug, Default)]
pub(super) struct Queues {
    items: HashMap<ObjectKey, ItemState>,
    high: FairQueue,
    low: FairQueue,
    delayed: BinaryHeap<Reverse<(Instant, ObjectKey)>>,
}

impl Queues {
    pub(super) fn add(&mut self, key: ObjectKey, priority: Priority) {
        let item = self.items.entry(key.clone()).or_default();
        if item.running {
            item.requeue = item.requeue.max(Some(priority));
        } else if item.is_limited && item.due.is_some() {
            // The changes until then are reconciled together.
        } else if item.queued < Some(priority) {
            // Its entry in the low queue is skipped later.
            item.queued = Some(priority);
            match priority {
                Priority::High => self.high.push(key),
                Priority::Low => self.low.push(key),
            }
        }
    }

    fn add_delayed(&mut self, key: ObjectKey, at: Instant) {
        let item = self.items.entry(key.clone()).or_default();
        if item.queued.is_none() && item.due.is_none_or(|due| at < due) {
            item.due = Some(at);
            self.delayed.push(Reverse((at, key)));
        }
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<ObjectKey> {
        self.take_due(now);
        let (high, low) = (&mut self.high, &mut self.low);
        let queued = std::iter::from_fn(|| {
            high.pop().map(|key| (key, Priority::High)).or_else(|| low.pop().map(|key| (key, Priority::Low)))
        });
        for (key, priority) in queued {
            if let Some(item) = self.items.get_mut(&key).filter(|item| item.queued == Some(priority)) {
                // This reconcile decides again what is due later.
                *item = ItemState { running: true, ..ItemState::default() };
                return Some(key);
            }
        }
        None
    }

    fn take_due(&mut self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((at, key))) = self.delayed.pop() else {
                return;
            };
            if let Some(item) = self.items.get_mut(&key).filter(|item| item.due == Some(at)) {
                item.due = None;
                self.add(key, Priority::Low);
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn done(&mut self, key: ObjectKey, requeue_at: Option<Instant>, is_limited: bool) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        item.running = false;
        item.is_limited = is_limited && requeue_at.is_some();
        let changed = item.requeue.take().filter(|_| !item.is_limited);
        if let Some(priority) = changed {
            return self.add(key, priority);
        }
        if let Some(at) = requeue_at {
            return self.add_delayed(key, at);
        }
        if item.is_empty() {
            self.items.remove(&key);
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.items.values().filter(|item| item.queued.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_change_comes_before_the_backlog_and_once() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        for name in ["a", "b", "c"] {
            queues.add(key(name), Priority::Low);
        }
        queues.add(key("c"), Priority::High);
        queues.add(key("c"), Priority::Low);
        assert_eq!(queues.depth(), 3);
        let taken: Vec<ObjectKey> = std::iter::from_fn(|| queues.take(now)).collect();
        assert_eq!(taken, [key("c"), key("a"), key("b")]);
    }

    #[test]
    fn a_crowded_namespace_does_not_delay_the_others() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        for number in 0..1000 {
            queues.add(ObjectKey::new("crowded", &number.to_string()), Priority::High);
        }
        queues.add(key("a"), Priority::High);
        queues.add(key("b"), Priority::High);
        let taken: Vec<ObjectKey> = std::iter::from_fn(|| queues.take(now)).collect();
        let position = |name: &str| taken.iter().position(|taken| *taken == key(name));
        assert_eq!((position("a"), position("b"), taken.len()), (Some(1), Some(3), 1002));
        assert!(queues.high.turns.is_empty() && queues.high.groups.is_empty());
    }

    #[test]
    fn changes_during_a_reconcile_cause_one_more() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        queues.add(key("a"), Priority::High);
        assert_eq!(queues.take(now), Some(key("a")));
        queues.add(key("a"), Priority::High);
        queues.add(key("a"), Priority::Low);
        assert_eq!(queues.take(now), None, "one worker at a time");
        queues.done(key("a"), Some(at(now, 9)), false);
        assert_eq!(queues.take(now), Some(key("a")));
        queues.done(key("a"), None, false);
        assert_eq!(queues.take(at(now, 100)), None);
        assert!(queues.items.is_empty());
    }

    #[test]
    fn a_retry_comes_when_it_is_due_and_a_change_comes_before_it() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        queues.add(key("a"), Priority::High);
        queues.take(now);
        queues.done(key("a"), Some(at(now, 5)), false);
        assert_eq!(queues.take(at(now, 4)), None);
        queues.add(key("a"), Priority::High);
        assert_eq!(queues.take(at(now, 4)), Some(key("a")));
        queues.done(key("a"), Some(at(now, 10)), false);
        assert_eq!(queues.take(at(now, 6)), None, "the reconcile in between set another time");
        assert_eq!(queues.take(at(now, 10)), Some(key("a")));
        queues.done(key("a"), None, false);
        assert!(queues.items.is_empty());
    }

    #[test]
    fn a_limited_group_waits_until_it_is_due_whatever_changes() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        queues.add(key("a"), Priority::High);
        queues.take(now);
        queues.add(key("a"), Priority::High);
        queues.done(key("a"), Some(at(now, 5)), true);
        queues.add(key("a"), Priority::High);
        queues.add(key("b"), Priority::High);
        assert_eq!(queues.take(at(now, 4)), Some(key("b")), "another group does not wait");
        assert_eq!(queues.take(at(now, 4)), None);
        assert_eq!(queues.take(at(now, 5)), Some(key("a")));
        queues.done(key("a"), None, false);
        queues.add(key("a"), Priority::High);
        assert_eq!(queues.take(at(now, 5)), Some(key("a")));
    }
}
