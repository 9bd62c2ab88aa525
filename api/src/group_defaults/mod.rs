//! The defaults of an installation: one file that both processes read. It has the fields of a group's
//! spec that groups of one installation repeat, by the same names.
//!
//! Precedence: the group, then the file, then the product ([`crate::defaults`]). A map is merged by
//! key, a list is taken whole. Nothing of the file is written into a group, so a changed file reaches
//! every group.

mod merge;

use serde::{Deserialize, Serialize};

use crate::group::Labels;
use crate::preset::Preset;
use crate::scrape_limits::ScrapeLimits;
use crate::strict_object;

/// The content of the file. A field that is not set is the product's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GroupDefaults {
    /// Of spec.metrics.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub metrics: MetricsDefaults,
    /// Of spec.alerts.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub alerts: AlertsDefaults,
    /// Of spec.consumerSpec.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub consumer_spec: ConsumerDefaults,
    /// Of spec.inheritedMetadata.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub inherited_metadata: MetadataDefaults,
    /// The most that a group may set of the fields of spec.metrics with these names.
    #[serde(deserialize_with = "strict_object::deserialize")]
    pub limits: ScrapeLimits,
}

/// Defaults of spec.metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MetricsDefaults {
    /// The kind of client. A group takes it with the next change of its pod template.
    pub preset: Option<Preset>,
    /// How often Prometheus scrapes, as a Prometheus duration.
    pub interval: Option<String>,
    /// The most samples of a scrape.
    pub sample_limit: Option<i64>,
    /// The most labels of a sample.
    pub label_limit: Option<i64>,
    /// The most bytes of a scrape's body.
    pub body_size_limit: Option<String>,
    /// Labels of the ServiceMonitors.
    pub labels: Labels,
}

/// Defaults of spec.alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AlertsDefaults {
    /// The alerts' severity label.
    pub severity: Option<String>,
    /// Labels of the PrometheusRules. They replace the product's.
    pub rule_labels: Option<Labels>,
}

/// Defaults of spec.consumerSpec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConsumerDefaults {
    /// Secrets for pulling the image. A group takes them with the next change of its pod template.
    pub image_pull_secrets: Vec<SecretName>,
}

/// The name of a Secret, as in a Pod's imagePullSecrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SecretName {
    /// metadata.name of the Secret.
    pub name: String,
}

/// Defaults of spec.inheritedMetadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MetadataDefaults {
    /// Labels of all owned resources.
    pub labels: Labels,
    /// Annotations of all owned resources.
    pub annotations: Labels,
}

/// The defaults that are part of the pod template. A group takes them with the next change of its
/// template, and keeps those that it has taken until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateDefaults {
    /// spec.metrics.preset: it sets the port and the readiness probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// spec.consumerSpec.imagePullSecrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<SecretName>,
}

impl TemplateDefaults {
    /// Whether they are the product's.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl GroupDefaults {
    /// The most that a group may set; what the file leaves out is the product's.
    pub(crate) fn most(&self) -> ScrapeLimits {
        self.limits.or(ScrapeLimits::most_of_product())
    }

    /// The part that belongs to the pod template.
    pub fn template(&self) -> TemplateDefaults {
        TemplateDefaults {
            preset: self.metrics.preset,
            image_pull_secrets: self.consumer_spec.image_pull_secrets.clone(),
        }
    }

    /// The same defaults with another part of the pod template.
    #[must_use]
    pub fn with_template(&self, template: &TemplateDefaults) -> Self {
        let mut defaults = self.clone();
        defaults.metrics.preset = template.preset;
        defaults.consumer_spec.image_pull_secrets.clone_from(&template.image_pull_secrets);
        defaults
    }
}
