//! The custom resources a cluster serves: ours, Strimzi's KafkaTopic, prometheus-operator's two.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Error, Result};

const KAFKA_TOPICS: &str = include_str!("../crds/kafkatopics.yaml");

/// Which versions of KafkaTopic are served: Strimzi before 0.49 serves v1beta2, since 1.0 v1, in between both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaTopicCrd {
    /// v1, stored, and v1beta2.
    Both,
    /// v1 alone.
    V1,
    /// v1beta2 alone.
    V1beta2,
    /// None: a cluster without Strimzi.
    #[default]
    None,
}

/// What to install. `Crds::default()` installs nothing.
#[derive(Debug, Clone, Default)]
pub struct Crds {
    /// Ours: a manifest, or a folder with manifests or with a kustomization.
    pub own: Option<PathBuf>,
    /// Strimzi's.
    pub kafka_topic: KafkaTopicCrd,
    /// prometheus-operator's ServiceMonitor and PrometheusRule, from its own release.
    pub prometheus_operator: bool,
}

impl Crds {
    /// All there are, with ours from `own`.
    pub fn all(own: impl Into<PathBuf>) -> Self {
        Self { own: Some(own.into()), kafka_topic: KafkaTopicCrd::Both, prometheus_operator: true }
    }
}

/// The KafkaTopic CRD with these versions, as a JSON document; nothing where none is served.
pub fn kafka_topics(which: KafkaTopicCrd) -> Result<Option<Value>> {
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
        crd.pointer_mut("/spec/versions").ok_or_else(|| unreadable("it has no versions".into()))?;
    let template = versions[0].take();
    *versions = served.iter().enumerate().map(|(index, name)| version(&template, name, index == 0)).collect();
    Ok(Some(crd))
}

/// One version after the pattern of the first. v1 insists on spec; the older one did not.
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
