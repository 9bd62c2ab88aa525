//! Installation, upgrade and removal on a real API server, by the commands that the docs tell.
#![allow(clippy::unwrap_used, reason = "test code")]

mod documented;
mod gradual;
mod helm;
mod lines;
mod original;
mod removal;
mod upgrade;
