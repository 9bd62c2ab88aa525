//! The operator: everything that the one binary does.
//!
//! *Invariant:* modules only use those below them: [`cli`] - [`controller`], [`doctor`] - `cluster`,
//! [`cert_rotator`] - `events`, `webhook_configurations`, [`rbac`] - the crate `kcg_core`
//! (decisions) - the crate `kcg_api` (the API types).
//!
//! Within this crate, only `cluster`, [`cert_rotator`], [`doctor`] and the two modules that they
//! share (`events`, `webhook_configurations`) send requests to the API server. The Lease, discovery
//! and the watches are `kcg_runtime`'s.
#![warn(missing_docs, unreachable_pub)]

pub mod cert_rotator;
pub mod cli;
mod cluster;
pub mod controller;
pub mod doctor;
mod events;
pub mod rbac;
mod webhook_configurations;
