//! Limits the number of connections.
//!
//! Every pod of the cluster can reach the port, so a full server must not lock the API server out:
//! the oldest connection that has not sent a complete review yet makes room for the newest one. If
//! each has sent one, the connection whose last review is the longest ago is closed gracefully: it
//! finishes its current request, and the API server's client opens a new connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Counts the connections and decides which one makes room first.
#[derive(Debug)]
pub(super) struct ConnLimiter {
    capacity: usize,
    open: AtomicUsize,
    connections: Mutex<Connections>,
}

/// The connections that were not asked to close, in the order in which they make room.
#[derive(Debug, Default)]
struct Connections {
    /// A logical clock; its ticks are the keys of both maps.
    clock: u64,
    /// Without a complete review yet, by their arrival.
    unproven: BTreeMap<u64, CancellationToken>,
    /// With a complete review, by their latest one.
    proven: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn remove(&mut self, key: u64) -> Option<CancellationToken> {
        self.unproven.remove(&key).or_else(|| self.proven.remove(&key))
    }
}

/// The slot of one connection, released on drop.
#[derive(Debug)]
pub(super) struct ConnSlot {
    limiter: Arc<ConnLimiter>,
    /// The connection's key in [`Connections`].
    key: Mutex<u64>,
    evicted: CancellationToken,
    displaced: CancellationToken,
}

impl ConnLimiter {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, open: AtomicUsize::new(0), connections: Mutex::default() })
    }

    /// A slot for a new connection; `None` if no connection is left that could make room.
    ///
    /// A connection that was asked to close releases its slot a moment later, so up to twice the
    /// capacity can be open for a short time.
    pub(super) fn acquire(self: &Arc<Self>) -> Option<ConnSlot> {
        let mut connections = self.connections.lock();
        let open = self.open.load(Ordering::Relaxed);
        if open >= self.capacity {
            if open >= self.capacity * 2 {
                return None;
            }
            let first = connections.unproven.pop_first().or_else(|| connections.proven.pop_first());
            let (_, close) = first?;
            close.cancel();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let key = connections.tick();
        let evicted = CancellationToken::new();
        connections.unproven.insert(key, evicted.clone());
        let displaced = CancellationToken::new();
        Some(ConnSlot { limiter: Arc::clone(self), key: Mutex::new(key), evicted, displaced })
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl ConnSlot {
    /// Records a complete review: all connections without one, and those with an older one, make
    /// room first.
    pub(super) fn mark_proven(&self) {
        let mut key = self.key.lock();
        let mut connections = self.limiter.connections.lock();
        // A connection that was asked to close is in neither map, and stays out.
        if connections.remove(*key).is_some() {
            *key = connections.tick();
            connections.proven.insert(*key, self.displaced.clone());
        }
    }

    /// Resolves if the slot of an unproven connection is needed: the connection closes at once.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Resolves if the slot of a proven connection is needed: the connection closes after its
    /// current request.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for ConnSlot {
    fn drop(&mut self) {
        let key = *self.key.get_mut();
        self.limiter.connections.lock().remove(key);
        self.limiter.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_capacity_the_oldest_unproven_connection_is_evicted() {
        let limiter = ConnLimiter::new(2);
        let first = limiter.acquire().unwrap();
        let second = limiter.acquire().unwrap();
        let third = limiter.acquire().unwrap();
        assert!(first.evicted.is_cancelled());
        assert!(!second.evicted.is_cancelled() && !third.evicted.is_cancelled());
    }

    #[test]
    fn unproven_connections_make_room_before_proven_ones() {
        let limiter = ConnLimiter::new(2);
        let proven = limiter.acquire().unwrap();
        proven.mark_proven();
        let unproven = limiter.acquire().unwrap();
        let _latest = limiter.acquire().unwrap();
        assert!(unproven.evicted.is_cancelled());
        assert!(!proven.displaced.is_cancelled());
    }

    #[test]
    fn among_proven_connections_the_least_recently_used_is_displaced() {
        let limiter = ConnLimiter::new(2);
        let (first, second) = (limiter.acquire().unwrap(), limiter.acquire().unwrap());
        first.mark_proven();
        second.mark_proven();
        first.mark_proven();
        let _third = limiter.acquire().unwrap();
        assert!(second.displaced.is_cancelled() && !second.evicted.is_cancelled());
        assert!(!first.displaced.is_cancelled());
    }

    #[test]
    fn no_slot_is_free_while_all_connections_are_already_closing() {
        let limiter = ConnLimiter::new(1);
        let first = limiter.acquire().unwrap();
        let second = limiter.acquire().unwrap();
        assert!(first.evicted.is_cancelled());
        first.mark_proven();
        assert!(limiter.acquire().is_none());
        drop(first);
        assert!(limiter.acquire().is_some());
        assert!(second.evicted.is_cancelled());
    }

    #[test]
    fn dropped_slots_are_released() {
        let limiter = ConnLimiter::new(1);
        for _ in 0..10 {
            let slot = limiter.acquire().unwrap();
            assert_eq!(limiter.open(), 1);
            drop(slot);
        }
        assert_eq!(limiter.open(), 0);
    }
}
