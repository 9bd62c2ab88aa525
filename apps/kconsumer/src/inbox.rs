//! The few records between the member, which polls, and the worker: those that wait, and the
//! current one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::record::{Place, Record};

/// How many records may wait before the member stops fetching. Enough to work on while fetching
/// resumes, which takes the Kafka client up to a second. Not more, since another member has to
/// fetch them again when their partition moves.
const CAPACITY: usize = 10;

/// A bounded queue whose records can be revoked.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    /// The partition of the record that is being processed, and since when.
    current: Option<(Place, Instant)>,
    /// The worker has asked for a record.
    asked: bool,
    /// No more records are taken: the process ends, or the worker has ended.
    closed: bool,
}

impl Inbox {
    /// Adds a record.
    pub fn put(&self, record: Record) {
        self.state.lock().waiting.push_back(record);
        self.changed.notify_all();
    }

    /// Takes the next record, and waits for one. None if the inbox is closed.
    pub fn take(&self) -> Option<Record> {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let mut state = self.state.lock();
        state.asked = true;
        self.changed.wait_while(&mut state, idle);
        if state.closed {
            return None;
        }
        let record = state.waiting.pop_front()?;
        state.current = Some((record.place.clone(), Instant::now()));
        self.changed.notify_all();
        Some(record)
    }

    /// The current record is finished.
    pub fn finish(&self) {
        self.state.lock().current = None;
        self.changed.notify_all();
    }

    /// Whether there is room for another record within this time.
    pub fn has_room_within(&self, time: Duration) -> bool {
        let full = |state: &mut State| state.waiting.len() >= CAPACITY && !state.closed;
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, full, time);
        state.waiting.len() < CAPACITY
    }

    /// Drops the waiting records of these partitions, and waits until the current record is not
    /// from one of them.
    pub fn revoke(&self, places: &[Place]) {
        let mut state = self.state.lock();
        state.waiting.retain(|record| !places.contains(&record.place));
        let theirs =
            |state: &mut State| state.current.as_ref().is_some_and(|(place, _)| places.contains(place));
        self.changed.wait_while(&mut state, theirs);
    }

    /// Ends the queue: the current record is the last one.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// Whether the inbox is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How long ago the worker asked for a record: not at all while it waits for one. None before it
    /// has asked.
    pub fn asked_ago(&self) -> Option<Duration> {
        let state = self.state.lock();
        let busy = state.current.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        state.asked.then_some(busy)
    }

    /// How long the current record has been processed.
    pub fn busy_for(&self) -> Option<Duration> {
        self.state.lock().current.as_ref().map(|(_, since)| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::{slice, thread};

    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record::new("orders", partition, offset, "bar-1", 5)
    }

    #[test]
    fn a_partition_is_revoked_when_its_current_record_is_finished() {
        let inbox = Inbox::default();
        for offset in 0..3 {
            inbox.put(record(0, offset));
            inbox.put(record(1, offset));
        }
        let current = inbox.take().unwrap();
        thread::scope(|scope| {
            let giving = scope.spawn(|| inbox.revoke(slice::from_ref(&current.place)));
            // The waiting records are dropped first. Then `revoke` waits only for the current
            // record.
            while inbox.state.lock().waiting.len() > 3 {
                thread::yield_now();
            }
            assert!(!giving.is_finished());
            inbox.finish();
        });
        let left: Vec<i32> = inbox.state.lock().waiting.iter().map(|record| record.place.partition).collect();
        assert_eq!(left, [1, 1, 1], "the other partition's records still wait");
    }

    #[test]
    fn a_partition_without_a_current_record_is_revoked_at_once() {
        let inbox = Inbox::default();
        inbox.put(record(0, 0));
        inbox.take().unwrap();
        inbox.revoke(&[record(1, 0).place]);
        assert!(inbox.busy_for().is_some());
    }

    #[test]
    fn a_full_inbox_has_room_again_when_a_record_is_taken() {
        let inbox = Inbox::default();
        (0..10).for_each(|offset| inbox.put(record(0, offset)));
        assert!(!inbox.has_room_within(Duration::ZERO));
        inbox.take().unwrap();
        assert!(inbox.has_room_within(Duration::ZERO));
    }

    #[test]
    fn the_worker_asks_again_when_its_record_is_finished() {
        let inbox = Inbox::default();
        assert_eq!(inbox.asked_ago(), None);
        inbox.put(record(0, 0));
        inbox.take().unwrap();
        thread::sleep(Duration::from_millis(2));
        assert!(inbox.asked_ago() >= Some(Duration::from_millis(2)));
        inbox.finish();
        assert_eq!(inbox.asked_ago(), Some(Duration::ZERO));
    }

    #[test]
    fn a_closed_inbox_ends_the_work() {
        let inbox = Inbox::default();
        inbox.put(record(0, 0));
        inbox.close();
        assert!(inbox.take().is_none());
    }
}
