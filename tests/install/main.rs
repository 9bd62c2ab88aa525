//! Installation, upgrade and removal on a real API server, with the commands of the docs.
#![allow(clippy::unwrap_used, reason = "test code")]

mod documented;
mod gradual;
mod helm;
mod lines;
mod namespace;
mod original;
mod provided;
mod removal;
mod upgrade;
