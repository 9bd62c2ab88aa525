//! The controller of KconsumerGroups and everything the one binary does.
//!
//! Floors, arrows pointing down only: `controller` (drivers) - `cluster`, `keeper` (I/O) - `plan`, `children`, `ceiling`, `lag`,
//! `comparison`, `status`, `observed` (decisions) - the crate `kcg_api` (the language).

pub mod ceiling;
pub mod children;
pub mod cli;
pub mod cluster;
pub mod comparison;
pub mod controller;
pub mod doctor;
#[cfg(test)]
mod fixtures;
pub mod keeper;
pub mod lag;
pub mod observed;
pub mod plan;
pub mod quantity;
pub mod rbac;
pub mod status;
