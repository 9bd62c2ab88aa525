//! The runtime crate on a real etcd and API server: watches, the Lease, and optional kinds. Each
//! test has its own server, because many of them disturb it.

mod events;
mod lease;
mod optional;
mod proxy;
mod requests;
mod watch;
