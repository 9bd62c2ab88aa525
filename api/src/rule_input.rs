//! The input of the static rules: a spec, the group's name, and the namespaces whose KafkaTopics it
//! may use.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::group::KconsumerGroupSpec;
use crate::group_defaults::GroupDefaults;
use crate::overlay::{self, Overlay, ParsedOverlay};
use crate::scrape_limits::ScrapeLimits;

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
#[derive(Debug)]
pub struct RuleInput<'a> {
    /// The group's name; `None` if the API server has not generated one yet (generateName).
    pub name: Option<&'a str>,
    /// The group's namespace.
    pub namespace: &'a str,
    /// The group's spec.
    pub spec: &'a KconsumerGroupSpec,
    /// The namespaces whose KafkaTopics the group may use.
    pub grants: &'a TopicGrants,
    /// The most that the group may set of a scrape.
    pub scrape_limits: ScrapeLimits,
    /// The parsed spec.consumerSpec.podTemplate. It is parsed once: its types need much memory.
    pub overlay: Option<ParsedOverlay>,
}

impl<'a> RuleInput<'a> {
    /// The input for a spec. Parses its podTemplate.
    pub fn new(
        name: Option<&'a str>,
        namespace: &'a str,
        spec: &'a KconsumerGroupSpec,
        grants: &'a TopicGrants,
    ) -> Self {
        let overlay = spec.consumer_spec.pod_template.as_ref().map(overlay::parse);
        let scrape_limits = ScrapeLimits::most_of_product();
        Self { name, namespace, spec, grants, scrape_limits, overlay }
    }

    /// The same input with what an installation lets a group set.
    #[must_use]
    pub fn within(self, installation: &GroupDefaults) -> Self {
        Self { scrape_limits: installation.most(), ..self }
    }

    /// What can be read of the overlay.
    pub(crate) fn readable_overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()?.overlay.as_ref()
    }

    /// The pod of the overlay.
    pub(crate) fn overlaid_pod(&self) -> Option<&PodSpec> {
        self.readable_overlay()?.template().spec.as_ref()
    }

    /// The consumer's container in the overlay.
    pub(crate) fn overlaid_consumer(&self) -> Option<&Container> {
        let name = self.container_name()?;
        self.overlaid_pod()?.containers.iter().find(|container| container.name == name)
    }

    /// The name of the consumer's container; `None` if it is not known yet.
    pub fn container_name(&self) -> Option<&'a str> {
        self.spec.consumer_spec.container_name.as_deref().or(self.name)
    }
}
