//! Who may come in. Floor 3.
//!
//! Every pod of the cluster can reach the port, so a full house must not lock the API server out: the oldest connection
//! that has brought no whole review yet makes room for the newest. Where each has brought one, the one that has rested
//! longest is asked to leave: it ends what it is doing, and the API server's client takes a new connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Counts the connections and knows who makes room first.
#[derive(Debug)]
pub(super) struct Gate {
    capacity: usize,
    open: AtomicUsize,
    guests: Mutex<Guests>,
}

/// The connections that have not been told to leave, in the order in which they make room.
#[derive(Debug, Default)]
struct Guests {
    clock: u64,
    /// Without a whole review yet, by their coming.
    newcomers: BTreeMap<u64, CancellationToken>,
    /// With one, by their latest.
    known: BTreeMap<u64, CancellationToken>,
}

impl Guests {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn forget(&mut self, turn: u64) -> Option<CancellationToken> {
        self.newcomers.remove(&turn).or_else(|| self.known.remove(&turn))
    }
}

/// A connection's place in the house, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    /// The connection's key among the guests.
    turn: Mutex<u64>,
    evicted: CancellationToken,
    displaced: CancellationToken,
}

impl Gate {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, open: AtomicUsize::new(0), guests: Mutex::default() })
    }

    /// A place, or `None` where nobody is left who could make room. Who was told to leave gives the place back a moment
    /// later, hence the second bound.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.open.load(Ordering::Relaxed);
        if open >= self.capacity {
            if open >= self.capacity * 2 {
                return None;
            }
            let (_, leaves) = guests.newcomers.pop_first().or_else(|| guests.known.pop_first())?;
            leaves.cancel();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let turn = guests.tick();
        let evicted = CancellationToken::new();
        guests.newcomers.insert(turn, evicted.clone());
        let displaced = CancellationToken::new();
        Some(Place { gate: Arc::clone(self), turn: Mutex::new(turn), evicted, displaced })
    }

    /// The connections that are open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Place {
    /// The connection has brought a review: all others make room before it.
    pub(super) fn settle(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guests = self.gate.guests.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is on the way out stays so.
        if guests.forget(*turn).is_some() {
            *turn = guests.tick();
            guests.known.insert(*turn, self.displaced.clone());
        }
    }

    /// Resolves when the place of a newcomer is needed for somebody else: at once.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Resolves when the place of a known one is needed: after the request that it may be in.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let turn = *self.turn.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.gate.guests.lock().unwrap_or_else(PoisonError::into_inner).forget(turn);
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_closes_the_oldest_newcomer() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        let third = gate.enter().unwrap();
        assert!(first.evicted.is_cancelled());
        assert!(!second.evicted.is_cancelled() && !third.evicted.is_cancelled());
    }

    #[test]
    fn newcomers_make_room_before_who_was_served() {
        let gate = Gate::new(2);
        let served = gate.enter().unwrap();
        served.settle();
        let newcomer = gate.enter().unwrap();
        let _latest = gate.enter().unwrap();
        assert!(newcomer.evicted.is_cancelled());
        assert!(!served.displaced.is_cancelled());
    }

    #[test]
    fn among_the_served_the_one_that_rested_longest_is_asked_to_leave() {
        let gate = Gate::new(2);
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        first.settle();
        second.settle();
        first.settle();
        let _third = gate.enter().unwrap();
        assert!(second.displaced.is_cancelled() && !second.evicted.is_cancelled());
        assert!(!first.displaced.is_cancelled());
    }

    #[test]
    fn a_house_full_of_who_is_leaving_lets_nobody_in() {
        let gate = Gate::new(1);
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert!(first.evicted.is_cancelled());
        first.settle();
        assert!(gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
        assert!(second.evicted.is_cancelled());
    }

    #[test]
    fn places_are_given_back() {
        let gate = Gate::new(1);
        for _ in 0..10 {
            let place = gate.enter().unwrap();
            assert_eq!(gate.open(), 1);
            drop(place);
        }
        assert_eq!(gate.open(), 0);
    }
}
