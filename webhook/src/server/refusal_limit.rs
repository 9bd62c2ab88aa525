//! Limits how many refusals a client gets: each can tell whether a KafkaTopic exists.

use std::collections::HashMap;
use std::time::Duration;

use kcg_runtime::peer::Peer;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The clients that are remembered. A further one takes the place of the one refused the longest ago.
const MAX_CLIENTS: usize = 4096;

/// Each client has a token bucket of refusals.
#[derive(Debug)]
pub(super) struct RefusalLimit {
    /// Refusals at once.
    burst: u32,
    /// How long it takes until a further one is allowed.
    interval: Duration,
    /// When the bucket of a client is full again.
    full_at: Mutex<HashMap<Peer, Instant>>,
}

impl RefusalLimit {
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { burst, interval, full_at: Mutex::default() }
    }

    /// Whether the client may get another refusal.
    pub(super) fn allows(&self, peer: Peer) -> bool {
        let clients = self.full_at.lock();
        let refill = clients.get(&peer).map(|full_at| full_at.saturating_duration_since(Instant::now()));
        refill.is_none_or(|refill| refill + self.interval <= self.interval * self.burst)
    }

    /// The client gets a refusal.
    pub(super) fn count(&self, peer: Peer) {
        let (mut clients, now) = (self.full_at.lock(), Instant::now());
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&peer) {
            clients.retain(|_, full_at| *full_at > now);
            let earliest = clients.iter().min_by_key(|(_, full_at)| **full_at).map(|(peer, _)| *peer);
            if let Some(earliest) = earliest.filter(|_| clients.len() >= MAX_CLIENTS) {
                clients.remove(&earliest);
            }
        }
        let full_at = clients.entry(peer).or_insert(now);
        *full_at = (*full_at).max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(number: u32) -> Peer {
        Peer::from(IpAddr::from(number.to_be_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_gets_a_burst_of_refusals_and_then_some_each_second() {
        let limit = RefusalLimit::new(3, 2);
        for _ in 0..3 {
            assert!(limit.allows(peer(1)));
            limit.count(peer(1));
        }
        assert!(!limit.allows(peer(1)));
        assert!(limit.allows(peer(2)), "another client");
        tokio::time::advance(Duration::from_millis(501)).await;
        assert!(limit.allows(peer(1)));
        limit.count(peer(1));
        assert!(!limit.allows(peer(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn many_clients_take_bounded_memory() {
        let limit = RefusalLimit::new(3, 2);
        let most = u32::try_from(MAX_CLIENTS).unwrap();
        for number in 0..most + 100 {
            limit.count(peer(number));
        }
        assert_eq!(limit.full_at.lock().len(), MAX_CLIENTS);
    }
}
