//! Installation, upgrade and removal on a real API server, with the commands of the docs.
#![allow(clippy::unwrap_used, reason = "test code")]

mod documented;
mod gradual;
mod group_defaults;
mod helm;
mod lines;
mod namespace;
mod openshift;
mod original;
mod provided;
mod removal;
mod upgrade;

/// One load at a time: two would disturb each other's measurements.
static LOAD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
