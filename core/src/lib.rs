//! The decisions about a KconsumerGroup: how many consumers its partitions keep busy, which child
//! objects it should have, what has to be written, and what its status reports.
//!
//! Every function takes facts and returns a decision. The controller reads the facts from the API
//! server and carries out the decision.
//!
//! | module | decision |
//! |---|---|
//! | [`ceiling`] | how many consumers the partitions keep busy, and when that number may fall |
//! | [`children`] | the child objects of a group |
//! | [`desired`] | from a stored group to its desired state |
//! | [`drift`] | whether a live object is as it should be |
//! | [`takeover`] | what blocks an apply that the API server would accept for a new object |
//! | [`facts`] | what is kept of a live object, and which changes of it matter |
//! | [`refusal`] | whether a refusal of the API server ends by itself |
//! | [`rollout`] | how far a Deployment has rolled out its pod template |
//! | [`plan`] | which writes are due |
//! | [`status`] | the status, its conditions and the Events |
//! | [`topic_wait`] | whether a new Deployment waits for its topics |
//! | [`lag`] | how the lag gets from a consumer to its autoscaler |
//! | [`shown_lag`] | the lag as the status shows it, and when it is written again |
//! | [`topics`] | the KafkaTopics that a watch reported |
//!
//! *Invariant:* this crate does no I/O, reads no clock, writes no log and has no async code. Its
//! Cargo.toml has no tokio, no API client and no tracing, and its clippy.toml forbids the functions
//! that read the time. The same facts therefore always lead to the same decision, and every
//! decision can be tested without a cluster.
//!
//! *Invariant:* modules only use those above them in this list: `text`, `refusal`, `lag`, `shown_lag`,
//! `topics`, `ceiling`, `children`, `child_error`, `creation`, `drift`, `takeover`, `facts`, `rollout`,
//! `desired`, `topic_wait`, `plan`, `status`.

#![warn(missing_docs, unreachable_pub)]

pub mod ceiling;
pub mod child_error;
pub mod children;
pub mod creation;
pub mod desired;
pub mod drift;
pub mod facts;
pub mod lag;
pub mod plan;
pub mod refusal;
pub mod rollout;
pub mod shown_lag;
pub mod status;
pub mod takeover;
#[cfg(test)]
mod test_support;
pub mod text;
pub mod topic_wait;
pub mod topics;

pub use kcg_api::quantity;
