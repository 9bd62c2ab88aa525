//! The few records between the member, which polls, and the worker: those that wait, and the one in hand.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::record::{Place, Record};

/// Records that wait until the member stops fetching. Enough to work on while fetching starts again, which takes the
/// Kafka client up to a second; few, since another member has to fetch them again when their partition moves.
const ROOM: usize = 10;

#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    /// The record that is worked on, by its place, and since when.
    in_hand: Option<(Place, Instant)>,
    /// Nothing is taken out any more: the process ends, or the worker is gone.
    closed: bool,
}

impl Inbox {
    pub fn put(&self, record: Record) {
        self.state().waiting.push_back(record);
        self.changed.notify_all();
    }

    /// Takes the next record in hand; waits for it. None when the inbox is closed.
    pub fn take(&self) -> Option<Record> {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let mut state = self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let record = state.waiting.pop_front()?;
        state.in_hand = Some((record.place.clone(), Instant::now()));
        self.changed.notify_all();
        Some(record)
    }

    pub fn finish(&self) {
        self.state().in_hand = None;
        self.changed.notify_all();
    }

    /// Whether there is room for another record, now or within this time.
    pub fn has_room_within(&self, time: Duration) -> bool {
        let full = |state: &mut State| state.waiting.len() >= ROOM && !state.closed;
        let waited = self.changed.wait_timeout_while(self.state(), time, full);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting.len() < ROOM
    }

    /// Drops what waits of these partitions, which nobody has begun, and waits until none of them is in hand.
    pub fn give_back(&self, places: &[Place]) {
        let mut state = self.state();
        state.waiting.retain(|record| !places.contains(&record.place));
        let theirs =
            |state: &mut State| state.in_hand.as_ref().is_some_and(|(place, _)| places.contains(place));
        drop(self.changed.wait_while(state, theirs));
    }

    /// Lets the record in hand be the last one.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// For how long the record in hand has been worked on.
    pub fn busy_for(&self) -> Option<Duration> {
        self.state().in_hand.as_ref().map(|(_, since)| since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done under this lock, so a thread that died holding it spoiled nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_partition_is_given_back_when_its_record_in_hand_is_finished() {
        let inbox = Inbox::default();
        for offset in 0..3 {
            inbox.put(record(0, offset));
            inbox.put(record(1, offset));
        }
        let in_hand = inbox.take().unwrap();
        thread::scope(|scope| {
            let giving = scope.spawn(|| inbox.give_back(slice::from_ref(&in_hand.place)));
            // What waits is dropped first, so that the wait is for the one record in hand.
            while inbox.state().waiting.len() > 3 {
                thread::yield_now();
            }
            assert!(!giving.is_finished());
            inbox.finish();
        });
        let left: Vec<i32> = inbox.state().waiting.iter().map(|record| record.place.partition).collect();
        assert_eq!(left, [1, 1, 1], "the other partition's records still wait");
    }

    #[test]
    fn a_partition_without_a_record_in_hand_is_given_back_at_once() {
        let inbox = Inbox::default();
        inbox.put(record(0, 0));
        inbox.take().unwrap();
        inbox.give_back(&[record(1, 0).place]);
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
    fn a_closed_inbox_ends_the_work() {
        let inbox = Inbox::default();
        inbox.put(record(0, 0));
        inbox.close();
        assert!(inbox.take().is_none());
    }
}
