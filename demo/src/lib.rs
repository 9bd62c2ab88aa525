//! The simulated scenario of `demo`, and the terminal output that it shares with the closed loop.

#![warn(missing_docs, unreachable_pub)]

pub mod simulated;
pub mod terminal;
