//! What the static rules look at: a spec, its name, and what the installer granted. Floor 0.

use crate::group::KconsumerGroupSpec;

/// The namespaces other than a group's own whose KafkaTopics it may name: what the installer granted
/// by `--topic-namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopicGrants {
    /// None but the group's own.
    #[default]
    Own,
    /// These.
    Named(Vec<String>),
    /// Every namespace (`*`).
    Every,
}

impl TopicGrants {
    /// Reads the flag's values; `*` among them grants every namespace.
    pub fn from_flag(namespaces: &[String]) -> Self {
        match namespaces {
            [] => Self::Own,
            names if names.iter().any(|name| name == "*") => Self::Every,
            names => Self::Named(names.to_vec()),
        }
    }

    pub fn allow(&self, group_namespace: &str, topic_namespace: &str) -> bool {
        group_namespace == topic_namespace
            || match self {
                Self::Own => false,
                Self::Named(names) => names.iter().any(|name| name == topic_namespace),
                Self::Every => true,
            }
    }
}

/// What the static rules look at.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// The group's name; `None` while generateName has not made one.
    pub name: Option<&'a str>,
    pub namespace: &'a str,
    pub spec: &'a KconsumerGroupSpec,
    pub grants: &'a TopicGrants,
}
