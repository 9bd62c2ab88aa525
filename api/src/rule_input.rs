//! The input of the static rules: a spec, the group's name, and the namespaces whose KafkaTopics it
//! may use.

use crate::group::KconsumerGroupSpec;

/// The namespaces, besides a group's own, whose KafkaTopics the group may use. Set with
/// `--topic-namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopicGrants {
    /// Only the group's own namespace.
    #[default]
    Own,
    /// The group's own namespace and these.
    Named(Vec<String>),
    /// Every namespace (`*`).
    Every,
}

impl TopicGrants {
    /// Parses the values of `--topic-namespaces`; `*` grants every namespace.
    pub fn from_flag(namespaces: &[String]) -> Self {
        match namespaces {
            [] => Self::Own,
            names if names.iter().any(|name| name == "*") => Self::Every,
            names => Self::Named(names.to_vec()),
        }
    }

    /// Whether a group in `group_namespace` may use KafkaTopics in `topic_namespace`.
    pub fn allow(&self, group_namespace: &str, topic_namespace: &str) -> bool {
        group_namespace == topic_namespace
            || match self {
                Self::Own => false,
                Self::Named(names) => names.iter().any(|name| name == topic_namespace),
                Self::Every => true,
            }
    }
}

/// The input of the static rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// The group's name; `None` if the API server has not generated one yet (generateName).
    pub name: Option<&'a str>,
    /// The group's namespace.
    pub namespace: &'a str,
    /// The group's spec.
    pub spec: &'a KconsumerGroupSpec,
    /// The namespaces whose KafkaTopics the group may use.
    pub grants: &'a TopicGrants,
}
