//! Installation, upgrade and removal on a real API server, by the commands that the docs tell.
#![allow(clippy::unwrap_used, reason = "test code")]

mod documented;
mod gradual;
mod helm;
mod lines;
#[path = "../certificates/load.rs"]
#[allow(dead_code, reason = "the tests of the certificates use the rest")]
mod load;
mod original;
#[path = "../certificates/place.rs"]
#[allow(dead_code, reason = "the tests of the certificates use the rest")]
mod place;
mod removal;
mod upgrade;
