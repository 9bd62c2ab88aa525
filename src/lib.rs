//! The operator: everything that the one binary does.
//!
//! *Invariant:* modules only use those below them: [`cli`] - [`controller`] - `cluster`,
//! [`cert_rotator`], [`doctor`] (I/O) - the crate `kcg_core` (decisions) - the crate `kcg_api` (the
//! API types).
#![warn(missing_docs, unreachable_pub)]

pub mod cert_rotator;
pub mod cli;
mod cluster;
pub mod controller;
pub mod doctor;
mod events;
pub mod rbac;
mod webhook_configurations;
