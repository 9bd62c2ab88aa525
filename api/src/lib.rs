//! The KconsumerGroup API: the resource, its defaults, validation rules, names, topics and
//! conditions.
//!
//! *Invariant:* values in, values out. This crate has no API client, no clock, no async runtime and no logging, and its
//! Cargo.toml depends on none.
#![warn(missing_docs, unreachable_pub)]

pub mod alerts;
pub mod ceiling;
pub mod condition;
pub mod consumer_group;
pub mod crd;
pub mod defaults;
pub mod duration;
pub mod endpoint;
pub mod escape;
pub mod event;
mod field_path;
pub mod group;
pub mod group_defaults;
mod image;
pub mod inherited_metadata;
pub mod names;
pub mod overlay;
mod parse;
pub mod preset;
pub mod projection;
pub mod quantity;
mod ratchet;
mod rule;
pub mod rule_input;
pub mod rules;
mod scaling;
pub mod scrape_limits;
pub mod spec_bounds;
pub mod status;
pub mod strict_object;
pub mod topic;
pub mod valid;
pub mod violation;
mod wrong_type;
pub mod yaml_error;

pub use group::{KconsumerGroup, KconsumerGroupSpec};
pub use group_defaults::GroupDefaults;
pub use status::KconsumerGroupStatus;
pub use valid::ValidGroup;
pub use violation::Violation;
