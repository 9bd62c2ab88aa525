//! The decisions about a KconsumerGroup: how many consumers its partitions keep busy, which child objects it should
//! have, what has to be written, and what its status reports.
//!
//! Every function takes facts and returns a decision; the controller reads the facts from the API server and carries
//! out the decision.
//!
//! *Invariant:* this crate does no I/O, reads no clock, logs nothing and has no async code. Its Cargo.toml has no
//! tokio, no API client and no tracing, and `clippy.toml` forbids the functions that read the time. The same facts
//! therefore always lead to the same decision, and each decision can be tested without a cluster.

pub mod ceiling;
pub mod children;
pub mod comparison;
pub mod lag;
pub mod observed;
pub mod plan;
pub mod quantity;
pub mod status;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
pub mod topics;
