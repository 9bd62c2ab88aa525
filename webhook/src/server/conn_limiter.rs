//! Limits the number of connections.
//!
//! Every pod of the cluster can reach the port, so a full server must not lock the API server out. A
//! connection that has not brought a complete review yet is unproven. A quarter of all places is kept
//! for those, so that a client can always connect. If the server is full, the client that has the most
//! connections makes room: among the unproven ones with its oldest, which closes at once; among the
//! proven ones with the one whose last review is the longest ago, which closes gracefully: it finishes
//! its current request, and the API server's client opens a new connection.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kcg_runtime::peer::Peer;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Counts the connections and decides which one makes room first.
#[derive(Debug)]
pub(super) struct ConnLimiter {
    capacity: usize,
    per_client: usize,
    open: AtomicUsize,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    /// A logical clock; its ticks are the keys of connections.
    clock: u64,
    /// Without a complete review yet, by their arrival.
    unproven: ByClient,
    /// With a complete review, by their latest one.
    proven: ByClient,
    /// The open connections of each client, with those that were asked to close.
    open: HashMap<Peer, usize>,
}

impl Connections {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn remove(&mut self, peer: Peer, key: u64) -> Option<CancellationToken> {
        self.unproven.remove(peer, key).or_else(|| self.proven.remove(peer, key))
    }

    fn open_of(&self, peer: Peer) -> usize {
        self.open.get(&peer).copied().unwrap_or_default()
    }

    /// The next connection of this client that makes room.
    fn first_of(&mut self, peer: Peer) -> Option<CancellationToken> {
        self.unproven.pop_first_of(peer).or_else(|| self.proven.pop_first_of(peer))
    }

    /// The next connection of any client that makes room.
    fn first(&mut self, kept_for_unproven: usize) -> Option<CancellationToken> {
        if self.unproven.count < kept_for_unproven {
            self.proven.pop_first().or_else(|| self.unproven.pop_first())
        } else {
            self.unproven.pop_first().or_else(|| self.proven.pop_first())
        }
    }
}

/// Connections that were not asked to close, those of a client in the order in which they make room.
#[derive(Debug, Default)]
struct ByClient {
    clients: HashMap<Peer, BTreeMap<u64, CancellationToken>>,
    count: usize,
}

impl ByClient {
    fn insert(&mut self, peer: Peer, key: u64, close: CancellationToken) {
        self.clients.entry(peer).or_default().insert(key, close);
        self.count += 1;
    }

    fn remove(&mut self, peer: Peer, key: u64) -> Option<CancellationToken> {
        let of_client = self.clients.get_mut(&peer)?;
        let close = of_client.remove(&key)?;
        if of_client.is_empty() {
            self.clients.remove(&peer);
        }
        self.count -= 1;
        Some(close)
    }

    fn pop_first_of(&mut self, peer: Peer) -> Option<CancellationToken> {
        let key = *self.clients.get(&peer)?.keys().next()?;
        self.remove(peer, key)
    }

    /// The first one of the client that has the most; if several have as many, the first of all.
    fn pop_first(&mut self) -> Option<CancellationToken> {
        let rank =
            |of_client: &BTreeMap<u64, _>| (of_client.len(), Reverse(of_client.keys().next().copied()));
        let (peer, _) = self.clients.iter().max_by_key(|(_, of_client)| rank(of_client))?;
        self.pop_first_of(*peer)
    }
}

/// The slot of one connection, released on drop.
#[derive(Debug)]
pub(super) struct ConnSlot {
    limiter: Arc<ConnLimiter>,
    peer: Peer,
    /// The connection's key in [`Connections`].
    key: Mutex<u64>,
    evicted: CancellationToken,
    displaced: CancellationToken,
}

impl ConnLimiter {
    /// At most `capacity` connections, and of one client at most `per_client`.
    pub(super) fn new(capacity: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { capacity, per_client, open: AtomicUsize::new(0), connections: Mutex::default() })
    }

    /// A slot for a new connection; `None` if no connection is left that could make room.
    ///
    /// A connection that was asked to close releases its slot a moment later, so up to twice the
    /// limits can be open for a short time.
    pub(super) fn acquire(self: &Arc<Self>, peer: Peer) -> Option<ConnSlot> {
        let mut connections = self.connections.lock();
        let (open, of_client) = (self.open.load(Ordering::Relaxed), connections.open_of(peer));
        if open >= self.capacity * 2 || of_client >= self.per_client * 2 {
            return None;
        }
        if of_client >= self.per_client {
            connections.first_of(peer)?.cancel();
        } else if open >= self.capacity {
            let kept_for_unproven = (self.capacity / 4).max(1);
            connections.first(kept_for_unproven)?.cancel();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        *connections.open.entry(peer).or_default() += 1;
        let key = connections.tick();
        let (evicted, displaced) = (CancellationToken::new(), CancellationToken::new());
        connections.unproven.insert(peer, key, evicted.clone());
        Some(ConnSlot { limiter: Arc::clone(self), peer, key: Mutex::new(key), evicted, displaced })
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl ConnSlot {
    /// The client of the connection.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Records a complete review.
    pub(super) fn mark_proven(&self) {
        let mut key = self.key.lock();
        let mut connections = self.limiter.connections.lock();
        // A connection that was asked to close is in neither map, and stays out.
        if connections.remove(self.peer, *key).is_some() {
            *key = connections.tick();
            connections.proven.insert(self.peer, *key, self.displaced.clone());
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
        let mut connections = self.limiter.connections.lock();
        connections.remove(self.peer, key);
        let left = connections.open_of(self.peer).saturating_sub(1);
        if left == 0 {
            connections.open.remove(&self.peer);
        } else {
            connections.open.insert(self.peer, left);
        }
        self.limiter.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::from(IpAddr::from([192, 0, 2, number]))
    }

    fn slots(limiter: &Arc<ConnLimiter>, of: u8, count: usize) -> Vec<ConnSlot> {
        (0..count).map(|_| limiter.acquire(peer(of)).unwrap()).collect()
    }

    #[test]
    fn at_capacity_the_client_with_the_most_connections_makes_room() {
        let limiter = ConnLimiter::new(8, 8);
        let single = limiter.acquire(peer(1)).unwrap();
        let many = slots(&limiter, 2, 7);
        for _ in 0..5 {
            drop(limiter.acquire(peer(2)).unwrap());
        }
        let newcomer = limiter.acquire(peer(3)).unwrap();
        assert!(many[0].evicted.is_cancelled());
        assert!(!single.evicted.is_cancelled() && !newcomer.evicted.is_cancelled());
    }

    #[test]
    fn a_client_above_its_share_makes_room_itself() {
        let limiter = ConnLimiter::new(8, 2);
        let other = limiter.acquire(peer(1)).unwrap();
        let own = slots(&limiter, 2, 3);
        assert!(own[0].evicted.is_cancelled());
        assert!(!own[1].evicted.is_cancelled() && !other.evicted.is_cancelled());
        let _closing = limiter.acquire(peer(2)).unwrap();
        assert!(limiter.acquire(peer(2)).is_none(), "until its closing connections are gone");
        assert!(limiter.acquire(peer(1)).is_some());
    }

    #[test]
    fn a_quarter_is_kept_for_clients_that_have_not_sent_a_review_yet() {
        let limiter = ConnLimiter::new(8, 8);
        let guests = slots(&limiter, 1, 8);
        guests.iter().for_each(ConnSlot::mark_proven);
        let newcomers = slots(&limiter, 2, 2);
        assert_eq!(guests.iter().filter(|slot| slot.displaced.is_cancelled()).count(), 2);
        assert!(newcomers.iter().all(|slot| !slot.evicted.is_cancelled()));
        let _flood = slots(&limiter, 3, 3);
        assert_eq!(guests.iter().filter(|slot| slot.displaced.is_cancelled()).count(), 2);
    }

    #[test]
    fn at_capacity_the_oldest_unproven_connection_is_evicted() {
        let limiter = ConnLimiter::new(2, 9);
        let first = limiter.acquire(peer(1)).unwrap();
        let second = limiter.acquire(peer(1)).unwrap();
        let third = limiter.acquire(peer(1)).unwrap();
        assert!(first.evicted.is_cancelled());
        assert!(!second.evicted.is_cancelled() && !third.evicted.is_cancelled());
    }

    #[test]
    fn unproven_connections_make_room_before_proven_ones() {
        let limiter = ConnLimiter::new(2, 9);
        let proven = limiter.acquire(peer(1)).unwrap();
        proven.mark_proven();
        let unproven = limiter.acquire(peer(1)).unwrap();
        let _latest = limiter.acquire(peer(1)).unwrap();
        assert!(unproven.evicted.is_cancelled());
        assert!(!proven.displaced.is_cancelled());
    }

    #[test]
    fn among_proven_connections_the_least_recently_used_is_displaced() {
        let limiter = ConnLimiter::new(2, 9);
        let (first, second) = (limiter.acquire(peer(1)).unwrap(), limiter.acquire(peer(1)).unwrap());
        first.mark_proven();
        second.mark_proven();
        first.mark_proven();
        let _third = limiter.acquire(peer(1)).unwrap();
        assert!(second.displaced.is_cancelled() && !second.evicted.is_cancelled());
        assert!(!first.displaced.is_cancelled());
    }

    #[test]
    fn no_slot_is_free_while_all_connections_are_already_closing() {
        let limiter = ConnLimiter::new(1, 9);
        let first = limiter.acquire(peer(1)).unwrap();
        let second = limiter.acquire(peer(1)).unwrap();
        assert!(first.evicted.is_cancelled());
        first.mark_proven();
        assert!(limiter.acquire(peer(1)).is_none());
        drop(first);
        assert!(limiter.acquire(peer(1)).is_some());
        assert!(second.evicted.is_cancelled());
    }

    #[test]
    fn dropped_slots_are_released() {
        let limiter = ConnLimiter::new(1, 9);
        for _ in 0..10 {
            let slot = limiter.acquire(peer(1)).unwrap();
            assert_eq!(limiter.open(), 1);
            drop(slot);
        }
        assert_eq!(limiter.open(), 0);
    }
}
