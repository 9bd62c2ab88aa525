//! spec.inheritedMetadata: labels and annotations of all owned resources.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Labels, sorted by key.
pub type Labels = BTreeMap<String, String>;

/// Labels and annotations of all owned resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InheritedMetadata {
    /// Labels of the Deployment, Service, HorizontalPodAutoscaler, ServiceMonitor and
    /// PrometheusRule.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Annotations of the same objects.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

impl InheritedMetadata {
    /// Whether it has neither labels nor annotations.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}
