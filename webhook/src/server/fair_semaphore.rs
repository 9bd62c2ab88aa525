//! A semaphore that gives its permits to the clients in turn, and to one client only a share of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kcg_runtime::peer::Peer;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Permits for all clients. However many a client waits for, the next free one is another client's.
#[derive(Debug)]
pub(super) struct FairSemaphore {
    permits: usize,
    /// The most permits of one client.
    per_client: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// The clients that have a permit or wait for one.
    clients: HashMap<Peer, Client>,
    /// The clients that wait, in the order of their turns.
    turns: VecDeque<Peer>,
}

#[derive(Debug, Default)]
struct Client {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<FairPermit>>,
}

/// One permit, given back on drop.
#[derive(Debug)]
pub(super) struct FairPermit {
    /// `None` if the permit was given back already.
    semaphore: Option<Arc<FairSemaphore>>,
    peer: Peer,
}

impl FairSemaphore {
    pub(super) fn new(permits: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { permits, per_client, state: Mutex::default() })
    }

    /// A permit, unless none is free for this client.
    pub(super) fn try_acquire(self: &Arc<Self>, peer: Peer) -> Option<FairPermit> {
        let mut state = self.state.lock();
        let client = state.clients.get(&peer);
        let (held, waits) = client.map_or((0, false), |client| (client.taken, !client.waiting.is_empty()));
        if state.taken >= self.permits || held >= self.per_client || waits {
            return None;
        }
        state.take(peer);
        Some(FairPermit { semaphore: Some(Arc::clone(self)), peer })
    }

    /// Waits for a permit. Drop the future to stop waiting.
    pub(super) async fn acquire(self: &Arc<Self>, peer: Peer) -> FairPermit {
        loop {
            if let Some(permit) = self.try_acquire(peer) {
                return permit;
            }
            let turn = self.state.lock().wait(peer);
            // A permit may have become free in between.
            self.hand_out();
            // The sender is dropped only with the semaphore, which `self` keeps.
            if let Ok(permit) = turn.await {
                return permit;
            }
        }
    }

    /// Gives free permits to the clients whose turn it is.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some((peer, waiting)) = self.state.lock().next(self.permits, self.per_client) else {
                return;
            };
            let permit = FairPermit { semaphore: Some(Arc::clone(self)), peer };
            if let Err(mut unwanted) = waiting.send(permit) {
                // Dropped as it is, it would hand out permits from within this loop.
                unwanted.semaphore = None;
                self.state.lock().give_back(peer);
            }
        }
    }
}

impl State {
    fn take(&mut self, peer: Peer) {
        self.taken += 1;
        self.clients.entry(peer).or_default().taken += 1;
    }

    fn give_back(&mut self, peer: Peer) {
        self.taken -= 1;
        if let Some(client) = self.clients.get_mut(&peer) {
            client.taken -= 1;
            if client.taken == 0 && client.waiting.is_empty() {
                self.clients.remove(&peer);
            }
        }
    }

    fn wait(&mut self, peer: Peer) -> oneshot::Receiver<FairPermit> {
        let (sender, turn) = oneshot::channel();
        let client = self.clients.entry(peer).or_default();
        // Those that gave up, for instance at their deadline.
        client.waiting.retain(|waiting| !waiting.is_closed());
        client.waiting.push_back(sender);
        if !self.turns.contains(&peer) {
            self.turns.push_back(peer);
        }
        turn
    }

    /// Takes a permit for the next client that may have one.
    fn next(&mut self, permits: usize, per_client: usize) -> Option<(Peer, oneshot::Sender<FairPermit>)> {
        if self.taken >= permits {
            return None;
        }
        let may_take = |peer: &Peer| self.clients.get(peer).is_none_or(|client| client.taken < per_client);
        let position = self.turns.iter().position(may_take)?;
        let peer = self.turns.remove(position)?;
        let client = self.clients.get_mut(&peer)?;
        let waiting = client.waiting.pop_front()?;
        if !client.waiting.is_empty() {
            self.turns.push_back(peer);
        }
        self.take(peer);
        Some((peer, waiting))
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.take() {
            semaphore.state.lock().give_back(self.peer);
            semaphore.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::FutureExt;

    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::from(IpAddr::from([192, 0, 2, number]))
    }

    #[test]
    fn one_client_gets_its_share_and_another_one_the_rest() {
        let semaphore = FairSemaphore::new(3, 2);
        let held: Vec<_> = (0..3).filter_map(|_| semaphore.try_acquire(peer(1))).collect();
        assert_eq!(held.len(), 2);
        let _other = semaphore.try_acquire(peer(2)).unwrap();
        assert!(semaphore.try_acquire(peer(3)).is_none(), "all are taken");
        drop(held);
        assert!(semaphore.try_acquire(peer(1)).is_some());
    }

    #[test]
    fn a_client_waits_for_one_turn_of_each_other_client_and_not_for_their_queues() {
        let semaphore = FairSemaphore::new(1, 1);
        let held = semaphore.try_acquire(peer(1)).unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(semaphore.acquire(peer(1)))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let mut newcomer = Box::pin(semaphore.acquire(peer(2)));
        assert!(newcomer.as_mut().now_or_never().is_none());
        drop(held);
        let first = waiting[0].as_mut().now_or_never().expect("it was first");
        drop(first);
        assert!(waiting[1].as_mut().now_or_never().is_none());
        assert!(newcomer.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_permit_whose_client_gave_up_goes_to_the_next() {
        let semaphore = FairSemaphore::new(1, 1);
        let held = semaphore.try_acquire(peer(1)).unwrap();
        for _ in 0..10 {
            assert!(semaphore.acquire(peer(2)).now_or_never().is_none(), "and gives up");
        }
        let mut last = Box::pin(semaphore.acquire(peer(3)));
        assert!(last.as_mut().now_or_never().is_none());
        drop(held);
        drop(last.as_mut().now_or_never().expect("a permit"));
        assert!(semaphore.state.lock().clients.is_empty(), "nothing is kept of clients that left");
        assert!(semaphore.try_acquire(peer(2)).is_some());
    }

    #[test]
    fn a_permit_that_was_handed_out_and_not_fetched_is_given_back() {
        let semaphore = FairSemaphore::new(1, 1);
        let held = semaphore.try_acquire(peer(1)).unwrap();
        let mut turn = Box::pin(semaphore.acquire(peer(2)));
        assert!(turn.as_mut().now_or_never().is_none());
        drop(held);
        assert!(semaphore.try_acquire(peer(1)).is_none(), "it is the other client's");
        drop(turn);
        assert!(semaphore.try_acquire(peer(1)).is_some());
    }
}
