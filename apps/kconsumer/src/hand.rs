//! The records that were handed to the worker and are not finished. Whoever gives partitions back, or ends, waits here
//! until there are none.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Hand {
    load: Mutex<Load>,
    lighter: Condvar,
}

#[derive(Debug, Default)]
struct Load {
    records: usize,
    /// When the worker last began something.
    since: Option<Instant>,
    /// The worker is gone: nothing more will be finished.
    abandoned: bool,
}

impl Hand {
    pub fn take(&self) {
        let mut load = self.load();
        load.since = load.since.or_else(|| Some(Instant::now()));
        load.records += 1;
    }

    pub fn finish_one(&self) {
        let mut load = self.load();
        load.records -= 1;
        load.since = (load.records > 0).then(Instant::now);
        self.lighter.notify_all();
    }

    pub fn abandon(&self) {
        self.load().abandoned = true;
        self.lighter.notify_all();
    }

    /// Waits until everything is finished, or can no longer be.
    pub fn wait_until_empty(&self) {
        let held = self.lighter.wait_while(self.load(), |load| load.records > 0 && !load.abandoned);
        drop(held);
    }

    /// Whether everything was finished within this time.
    pub fn is_empty_within(&self, time: Duration) -> bool {
        let waited =
            self.lighter.wait_timeout_while(self.load(), time, |load| load.records > 0 && !load.abandoned);
        waited.unwrap_or_else(PoisonError::into_inner).0.records == 0
    }

    pub fn is_abandoned(&self) -> bool {
        self.load().abandoned
    }

    /// How long the worker has been at the record in hand.
    pub fn busy_for(&self) -> Option<Duration> {
        self.load().since.map(|since| since.elapsed())
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        // Nothing is left half-done under this lock, so a thread that died holding it spoiled nothing.
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
