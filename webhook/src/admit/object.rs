//! The object of a review, read as far as the rules need it.
//!
//! Of a group this is the name, the namespace and the spec. Other metadata may be large (managed
//! fields), and no rule looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kcg_api::group::ConsumerSpec;
use kcg_api::strict_object::StrictObject;
use kcg_api::violation::{Rule, Violation};
use kcg_api::{KconsumerGroupSpec, names, spec_bounds, valid};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::AdmissionRequest;

/// A KconsumerGroup as its user wrote it.
pub(super) struct ReviewedGroup<'a> {
    /// `None` if generateName has not made one yet.
    pub(super) name: Option<&'a str>,
    pub(super) namespace: &'a str,
    /// `None` before it is read, or if no part of it can be read.
    pub(super) spec: Option<KconsumerGroupSpec>,
    /// The values that cannot be read.
    pub(super) type_errors: Vec<Violation>,
    /// The JSON of the spec.
    text: Option<&'a str>,
}

/// The object of a review, which may be of any kind.
#[derive(Clone, Debug)]
pub enum ReviewObject<'a> {
    /// It has the shape of a Kubernetes object.
    Manifest(Manifest<'a>),
    /// It does not have that shape; contains the reason.
    Unreadable(String),
}

/// The parts of an object that show whether it is a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: StrictObject<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

impl<'a> ReviewObject<'a> {
    /// Reads an object's JSON.
    pub fn read(text: &'a str) -> Self {
        match serde_json::from_str(text) {
            Ok(StrictObject(manifest)) => Self::Manifest(manifest),
            Err(error) => Self::Unreadable(format!("the object cannot be read: {error}")),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// The names of the consumer's fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerFields<'a> {
    #[serde(borrow)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "serde reads a set from an array; these are the keys of an object"
    )]
    consumer_spec: BTreeMap<Cow<'a, str>, IgnoredAny>,
}

impl ConsumerFields<'_> {
    /// Whether the consumer of this spec has the field, whatever its value. If the text cannot be
    /// read, the answer is yes: nothing may be patched into it.
    fn contains(spec: &str, field: &str) -> bool {
        let fields = serde_json::from_str::<ConsumerFields<'_>>(spec);
        fields.map_or(true, |fields| fields.consumer_spec.contains_key(field))
    }
}

impl<'a> ReviewedGroup<'a> {
    /// Reads a group, but not yet its spec; fails with a sentence if the object is not a KconsumerGroup.
    pub(super) fn read(
        object: &'a ReviewObject<'a>,
        request: &'a AdmissionRequest<'_>,
    ) -> Result<Self, String> {
        let manifest = match object {
            ReviewObject::Manifest(manifest) => manifest,
            ReviewObject::Unreadable(reason) => return Err(reason.clone()),
        };
        let is_group = manifest.kind == names::KIND
            && manifest.api_version.split_once('/') == Some((names::GROUP, names::VERSION));
        if !is_group {
            let (kind, group, version) = (names::KIND, names::GROUP, names::VERSION);
            return Err(format!("the object is not a {kind} of {group}/{version}"));
        }
        let in_metadata = manifest.metadata.0.name.as_deref();
        Ok(Self {
            name: Some(&*request.name)
                .filter(|name| !name.is_empty())
                .or(in_metadata)
                .filter(|name| !name.is_empty()),
            namespace: &request.namespace,
            spec: None,
            type_errors: Vec::new(),
            text: manifest.spec.map(RawValue::get),
        })
    }

    /// The bounds that the spec exceeds, counted on its text.
    pub(super) fn check_size(&self, max_bytes: usize) -> Vec<Violation> {
        spec_bounds::check_text(self.text.unwrap_or("null"), max_bytes)
    }

    /// Reads the spec into its types.
    pub(super) fn read_spec(&mut self) {
        let text = self.text.unwrap_or("null");
        match serde_json::from_str(text) {
            Ok(StrictObject(spec)) => self.spec = Some(spec),
            Err(error) => self.read_piecemeal(text, &error),
        }
    }

    /// Reads a spec in which values have the wrong type: reports all of them and reads the rest.
    fn read_piecemeal(&mut self, text: &str, first: &serde_json::Error) {
        let whole = |sentence: String| Violation::forbidden(Rule::Type, "spec", sentence);
        let spec: Value = match serde_json::from_str(text) {
            Ok(spec) => spec,
            Err(error) => {
                self.type_errors = vec![whole(format!("cannot be read: {error}"))];
                return;
            }
        };
        let parsed = valid::parse_group(json!({
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": names::KIND,
            "metadata": {"name": self.name},
            "spec": spec,
        }));
        self.type_errors = parsed.violations;
        // A field that occurs twice is an error in the text, and none in the value made of it.
        if self.type_errors.is_empty() {
            self.type_errors.push(whole(format!("cannot be read: {first}")));
        }
        self.spec = Some(parsed.group.spec);
    }

    /// Whether the consumer has a containerName, `null` included.
    pub(super) fn has_container_name(&self) -> bool {
        self.consumer().is_some_and(|consumer| consumer.container_name.is_some())
            || self.has_null("containerName")
    }

    /// Whether the consumer has a groupId, `null` included.
    pub(super) fn has_group_id(&self) -> bool {
        self.consumer().is_some_and(|consumer| consumer.group_id.is_some()) || self.has_null("groupId")
    }

    fn consumer(&self) -> Option<&ConsumerSpec> {
        self.spec.as_ref().map(|spec| &spec.consumer_spec)
    }

    /// Whether the consumer has this field, whose value was read as missing. Only the text can tell
    /// a `null` from a missing field, and it is parsed only if it contains the field's name at all.
    fn has_null(&self, field: &str) -> bool {
        self.text.is_some_and(|text| text.contains(field) && ConsumerFields::contains(text, field))
    }
}
