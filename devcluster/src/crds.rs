//! The CRDs that a cluster serves: the operator's own, Strimzi's KafkaTopic, and two of
//! prometheus-operator.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Error, Result};

const KAFKA_TOPICS: &str = include_str!("../crds/kafkatopics.yaml");

/// The served versions of KafkaTopic. Strimzi serves v1beta2 before 0.49, both until 1.0, and v1
/// since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaTopicCrd {
    /// v1 (the storage version) and v1beta2.
    Both,
    /// Only v1.
    V1,
    /// Only v1beta2.
    V1beta2,
    /// No version: a cluster without Strimzi.
    #[default]
    None,
}

/// The CRDs to install. `Crds::default()` installs none.
#[derive(Debug, Clone, Default)]
pub struct Crds {
    /// Any CRDs, for example the operator's: a manifest, or a folder with manifests or a
    /// kustomization.
    pub manifests: Option<PathBuf>,
    /// Strimzi's KafkaTopic.
    pub kafka_topic: KafkaTopicCrd,
    /// ServiceMonitor and PrometheusRule, from prometheus-operator's release.
    pub prometheus_operator: bool,
}

impl Crds {
    /// All of them, with the operator's own from `manifests`.
    pub fn all(manifests: impl Into<PathBuf>) -> Self {
        Self {
            manifests: Some(manifests.into()),
            kafka_topic: KafkaTopicCrd::Both,
            prometheus_operator: true,
        }
    }
}

/// The KafkaTopic CRD with these versions as a JSON document, or `None` if no version is served.
pub(crate) fn kafka_topic_crd(which: KafkaTopicCrd) -> Result<Option<Value>> {
    let served: &[&str] = match which {
        KafkaTopicCrd::Both => &["v1", "v1beta2"],
        KafkaTopicCrd::V1 => &["v1"],
        KafkaTopicCrd::V1beta2 => &["v1beta2"],
        KafkaTopicCrd::None => return Ok(None),
    };
    let unreadable = |reason: String| Error::Parse { what: "crds/kafkatopics.yaml".into(), reason };
    let mut crd: Value =
        serde_saphyr::from_str(KAFKA_TOPICS).map_err(|error| unreadable(error.to_string()))?;
    let versions =
        crd.pointer_mut("/spec/versions").ok_or_else(|| unreadable("spec.versions is missing".into()))?;
    let template = versions[0].take();
    *versions = served.iter().enumerate().map(|(index, name)| version(&template, name, index == 0)).collect();
    Ok(Some(crd))
}

/// One version, derived from the template. v1 requires `spec`, v1beta2 does not.
fn version(template: &Value, name: &str, stored: bool) -> Value {
    let mut version = template.clone();
    version["name"] = name.into();
    version["storage"] = stored.into();
    if name != "v1"
        && let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema").and_then(Value::as_object_mut)
    {
        schema.remove("required");
    }
    version
}
