//! The KconsumerGroup API: the resource, its defaults, validation rules, names, topics and
//! conditions.
//!
//! *Invariant:* values in, values out. This crate has no API client, no clock, no async runtime and no logging, and its
//! Cargo.toml depends on none.
//!
//! *Invariant:* modules only use those above them in this list: `escape`, `names`, `messages`,
//! `strict_object`, `field_path`, `projection`, `rule`, `violation`, `ratchet`, `wrong_type`,
//! `yaml_error`, `duration`, `quantity`, `image`, `scrape_limits`, `spec_bounds`, `condition`, `event`,
//! `status`, `inherited_metadata`, `defaults`, `preset`, `endpoint`, `alerts`, `scaling`, `metrics`,
//! `group`, `parse`, `overlay`, `readiness`, `consumer_group`, `mutation`, `topic`, `ceiling`,
//! `group_defaults`, `rule_input`, `rules`, `defaults_file`, `valid`, `crd`.
#![warn(missing_docs, unreachable_pub)]

pub mod alerts;
pub mod ceiling;
pub mod condition;
pub mod consumer_group;
pub mod crd;
pub mod defaults;
pub mod defaults_file;
pub mod duration;
pub mod endpoint;
pub mod escape;
pub mod event;
mod field_path;
pub mod group;
pub mod group_defaults;
mod image;
pub mod inherited_metadata;
mod messages;
pub mod metrics;
pub mod mutation;
pub mod names;
pub mod overlay;
mod parse;
pub mod preset;
pub mod projection;
pub mod quantity;
pub mod ratchet;
pub mod readiness;
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
