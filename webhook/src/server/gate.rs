//! Who may come in. Floor 3.
//!
//! Every pod of the cluster can reach the port, so a full house must not lock the API server out: the oldest connection
//! that has brought no whole review yet makes room for the newest. One that has is never closed for another, since the
//! API server may be about to use it again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Counts the connections and knows the newcomers among them.
#[derive(Debug)]
pub(super) struct Gate {
    capacity: usize,
    open: AtomicUsize,
    newcomers: Mutex<Newcomers>,
}

#[derive(Debug, Default)]
struct Newcomers {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

/// A connection's place in the house, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    number: u64,
    settled: AtomicBool,
    evicted: CancellationToken,
}

impl Gate {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, open: AtomicUsize::new(0), newcomers: Mutex::default() })
    }

    /// A place, or `None` where every connection has been served already. Evicted connections give theirs back a
    /// moment later, hence the second bound.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut newcomers = self.newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.open.load(Ordering::Relaxed);
        if open >= self.capacity {
            if open >= self.capacity * 2 {
                return None;
            }
            newcomers.waiting.pop_first()?.1.cancel();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let number = newcomers.next;
        newcomers.next += 1;
        let evicted = CancellationToken::new();
        newcomers.waiting.insert(number, evicted.clone());
        Some(Place { gate: Arc::clone(self), number, settled: AtomicBool::new(false), evicted })
    }

    /// The connections that are open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn settle(&self, number: u64) {
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&number);
    }
}

impl Place {
    /// The connection has brought a review: it is no longer among those that make room.
    pub(super) fn settle(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.gate.settle(self.number);
        }
    }

    /// Resolves when the place is needed for somebody else.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle();
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
    fn a_served_connection_is_never_closed_for_another() {
        let gate = Gate::new(2);
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        first.settle();
        second.settle();
        assert!(gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
        assert!(!second.evicted.is_cancelled());
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
