//! A KconsumerGroup as the API server sends it.

use kcg_api::{KconsumerGroupStatus, names};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The parts of a stored group that are kept. The spec stays text: it need not have the types of this
/// version, and its values are counted before it is parsed. Annotations, managedFields and unknown fields
/// are skipped.
#[derive(Debug, Deserialize)]
pub(super) struct StoredGroup {
    pub(super) metadata: StoredMetadata,
    /// JSON without white space, as the API server writes it; `null` if there is none.
    #[serde(default = "null")]
    pub(super) spec: Box<RawValue>,
    #[serde(default = "null")]
    status: Box<RawValue>,
}

/// The metadata that is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StoredMetadata {
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
    pub(super) generation: i64,
    pub(super) creation_timestamp: Option<Box<str>>,
    pub(super) deletion_timestamp: Option<Box<str>>,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

impl StoredGroup {
    /// Reads the text of an object. The error names the field.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("{}: {error}", names::KIND))
    }

    #[cfg(test)]
    pub(super) fn of(object: &serde_json::Value) -> Self {
        Self::read(&object.to_string()).expect("a group")
    }

    /// The status; `None` if it does not have the types of this version.
    pub(super) fn status(&self) -> Option<KconsumerGroupStatus> {
        serde_json::from_str(self.status.get()).ok()
    }
}
