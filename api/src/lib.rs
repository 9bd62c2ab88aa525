//! The language of the product: the KconsumerGroup resource, its defaults, validity, names,
//! topics and conditions. Floor 0: no client, no clock, no async, no logging; values in, values out.

pub mod ceiling;
pub mod condition;
pub mod crd;
pub mod defaults;
pub mod group;
pub mod names;
pub mod overlay;
pub mod preset;
pub mod rule_input;
pub mod rules;
pub mod strict_object;
pub mod topic;
pub mod valid;
pub mod violation;

pub use group::{KconsumerGroup, KconsumerGroupSpec, KconsumerGroupStatus};
pub use valid::ValidGroup;
pub use violation::Violation;
