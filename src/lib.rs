//! The controller of KconsumerGroups and everything the one binary does.
//!
//! Arrows point down only: `controller` (drivers) - `cluster`, `keeper` (I/O) - the crate `kcg_core` (decisions) - the crate
//! `kcg_api` (the language).

pub mod cli;
pub mod cluster;
pub mod controller;
pub mod doctor;
pub mod keeper;
pub mod rbac;
