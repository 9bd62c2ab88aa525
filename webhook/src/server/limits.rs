//! The bounds on what a client may cost.

use std::thread::available_parallelism;
use std::time::Duration;

/// The bounds that the server enforces: one for everything that a client can make grow or last.
///
/// A client is an IPv4 address or the /64 of an IPv6 address.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// From the end of a request's head to the response. Less than the webhook configuration's
    /// timeoutSeconds of 5, so that the API server gets our error and not its own timeout.
    pub request: Duration,
    /// How long a client may take to read a response.
    pub write: Duration,
    /// How long a connection may be idle between two requests or before the first. More than the 90
    /// s after which the API server's Go client closes an idle connection: if the server closed
    /// first, a review that is sent at that moment would fail.
    pub idle: Duration,
    /// How long the server still reads from a connection that it closes early, so that the client
    /// gets to read the reason.
    pub linger: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a request's body: two objects of 3 MiB, the largest that the API server accepts,
    /// and the review around them.
    pub body_bytes: usize,
    /// Bodies of more bytes than this are large.
    pub small_body_bytes: usize,
    /// Large bodies in memory at a time. Others wait for their turn within their own deadline.
    pub large_bodies: usize,
    /// Of these, the most of one client.
    pub large_bodies_per_client: usize,
    /// Requests at a time that are complete and have no response yet; more get a 503. A request that is
    /// still arriving does not count: otherwise slow clients could occupy all slots.
    pub in_flight: usize,
    /// Of these, the most of one client. An API server runs at most 200 changes at a time
    /// (--max-mutating-requests-inflight).
    pub in_flight_per_client: usize,
    /// Reviews that are decided at a time, each on a thread of its own, but for quick ones: one for each
    /// core, at least two and at most eight, since one may need 20 MB. The clients take turns. A review
    /// that has waited until its deadline gets a 503.
    pub workers: usize,
    /// Of these, the most of one client: one less.
    pub workers_per_client: usize,
    /// Connections at a time. Beyond it, the client with the most connections makes room. A quarter is
    /// kept for connections without a complete review.
    pub connections: usize,
    /// Of these, the most of one client; a further one closes its oldest.
    pub connections_per_client: usize,
    /// Denials that a client gets at once; a further review gets a 429.
    pub denials: u32,
    /// Further denials that it gets each second.
    pub denials_per_second: u32,
    /// Requests of a client at once that are no reviews, or get a 429; the API server sends none. The
    /// response to a further one comes after [`Self::penalty`].
    pub invalid: u32,
    /// Further ones that get their response at once, each second.
    pub invalid_per_second: u32,
    /// How long a client waits that sends more. Its next request waits, too.
    pub penalty: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let workers = available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            request: Duration::from_millis(4500),
            write: Duration::from_secs(5),
            idle: Duration::from_mins(3),
            linger: Duration::from_secs(1),
            head_bytes: 64 << 10,
            body_bytes: 7 << 20,
            small_body_bytes: 64 << 10,
            large_bodies: 6,
            large_bodies_per_client: 2,
            in_flight: 512,
            in_flight_per_client: 256,
            workers,
            workers_per_client: workers - 1,
            connections: 1024,
            connections_per_client: 512,
            denials: 1000,
            denials_per_second: 50,
            invalid: 1000,
            invalid_per_second: 500,
            penalty: Duration::from_secs(1),
        }
    }
}
