//! The workqueue: the groups that wait for a reconcile. Each is queued at most once and reconciled
//! by one worker at a time. Changes have priority over the backlog at start-up and over retries.

mod queues;

use kcg_runtime::watch::ObjectKey;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use queues::{Priority, Queues};

/// A change that affects more groups than this has low priority.
const MANY: usize = 100;

/// Shared between the watches that fill it and the workers that empty it. While this process does
/// not lead it is closed and drops what is added: a new leader reconciles every group.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    queues: Mutex<Option<Queues>>,
    filled: Notify,
}

impl WorkQueue {
    /// Opens the empty queue.
    pub(super) fn open(&self) {
        *self.queues.lock() = Some(Queues::default());
    }

    /// Closes the queue and empties it.
    pub(super) fn close(&self) {
        *self.queues.lock() = None;
    }

    /// Adds groups that a change affects.
    pub(super) fn add(&self, keys: Vec<ObjectKey>) {
        let priority = if keys.len() > MANY { Priority::Low } else { Priority::High };
        self.add_to(priority, keys);
    }

    /// Adds groups of which no change is known.
    pub(super) fn add_backlog(&self, keys: Vec<ObjectKey>) {
        self.add_to(Priority::Low, keys);
    }

    fn add_to(&self, priority: Priority, keys: Vec<ObjectKey>) {
        if keys.is_empty() {
            return;
        }
        if let Some(queues) = self.queues.lock().as_mut() {
            for key in keys {
                queues.add(key, priority);
            }
        }
        self.filled.notify_one();
    }

    /// The next group to reconcile. No other worker gets it until [`Self::done`].
    pub(super) async fn next(&self) -> ObjectKey {
        loop {
            let due = {
                let mut queues = self.queues.lock();
                if let Some(key) = queues.as_mut().and_then(|queues| queues.take(Instant::now())) {
                    return key;
                }
                queues.as_ref().and_then(Queues::next_due)
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

    /// Ends the reconcile of a group, which is queued again at `requeue_at` unless something
    /// changes before. If it `is_limited`, changes wait until then, too.
    pub(super) fn done(&self, key: ObjectKey, requeue_at: Option<Instant>, is_limited: bool) {
        if let Some(queues) = self.queues.lock().as_mut() {
            queues.done(key, requeue_at, is_limited);
        }
        self.filled.notify_one();
    }

    /// How many groups wait for a worker now.
    pub(super) fn depth(&self) -> usize {
        self.queues.lock().as_ref().map_or(0, Queues::depth)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_worker_is_woken_by_a_change_and_by_time() {
        let queue = WorkQueue::default();
        queue.add(vec![key("dropped")]);
        queue.open();
        let (first, ()) = tokio::join!(queue.next(), async { queue.add(vec![key("a")]) });
        assert_eq!(first, key("a"));
        let before = Instant::now();
        queue.done(key("a"), Some(before + Duration::from_secs(3)), false);
        assert_eq!(queue.next().await, key("a"));
        assert!(before.elapsed() >= Duration::from_secs(3));
    }
}
