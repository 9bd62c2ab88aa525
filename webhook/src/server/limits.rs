//! The bounds on what a client may cost.

use std::time::Duration;

/// The bounds that the server enforces: one for everything that a client can make grow or last.
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
    /// Requests under review at a time; more get a 503. A request that is still arriving does not
    /// count: otherwise slow clients could occupy all slots.
    pub in_flight: usize,
    /// Connections at a time. Beyond it the server closes the oldest connection without a complete
    /// review, or else the one whose last review is the longest ago.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
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
            in_flight: 256,
            connections: 1024,
        }
    }
}
