//! What one client may cost, as numbers. Floor 3.

use std::time::Duration;

/// The bounds that the server keeps. Everything that a client can make grow or last has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From a request head's first byte to its end.
    pub head: Duration,
    /// From the end of the head to the answer. Below the registration's timeoutSeconds of 5, so that the API
    /// server hears from us and not from its own clock.
    pub request: Duration,
    /// How long the client may take to read an answer.
    pub write: Duration,
    /// How long a connection may rest, between two requests or before the first. Above the 90 s after which the API server's Go client
    /// drops it: were the server the first to close, a review sent at that moment would fail.
    pub idle: Duration,
    /// How long a connection that is closed early still takes bytes, so that the client gets to read why.
    pub linger: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a request's body: two objects of 3 MiB, which is as large as the API server takes them, and the
    /// review around them.
    pub body_bytes: usize,
    /// Bodies above this many bytes are large.
    pub small_body_bytes: usize,
    /// Large bodies in memory at a time; further ones wait for their turn within their own deadline.
    pub large_bodies: usize,
    /// Requests that have arrived and are being judged at a time; further ones get a 503. One that is still arriving
    /// does not count: else clients that send slowly could take all places.
    pub in_flight: usize,
    /// Connections at a time. Beyond it the oldest that has brought no whole review yet is closed, or else the one
    /// whose last review is longest ago.
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
