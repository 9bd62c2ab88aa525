//! An object of a review, read as far as the rules look at it. Floor 1.
//!
//! A whole group is only a name, a namespace and a spec here: metadata may be large (managed fields), and nothing of
//! it is judged.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kcg_api::violation::{ErrorType, Rule, Violation};
use kcg_api::{KconsumerGroupSpec, names, valid};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Request;
use crate::mapping::Mapping;

/// The longest spec that is read. Text becomes up to a hundred times as large in memory, and the port is open to
/// every pod of the cluster; a Deployment made of a longer one would not fit the API server's own limits for long.
const LONGEST_SPEC: usize = 256 << 10;

/// A KconsumerGroup as somebody wrote it.
pub(super) struct Object<'a> {
    /// `None` while generateName has not made one.
    pub(super) name: Option<&'a str>,
    pub(super) namespace: &'a str,
    /// `None` where nothing of it could be read.
    pub(super) spec: Option<KconsumerGroupSpec>,
    /// What could not be read, value by value.
    pub(super) misread: Vec<Violation>,
    text: Option<&'a str>,
}

/// An object of a review before it is known to be a group.
#[derive(Clone, Debug)]
pub enum Written<'a> {
    /// It has the shape of an object of Kubernetes.
    Manifest(Manifest<'a>),
    /// It has not. Says why.
    Unreadable(String),
}

/// As much of an object as has to be read to know whether it is ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: Mapping<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

impl<'a> Written<'a> {
    /// Reads an object's JSON.
    pub fn read(text: &'a str) -> Self {
        match serde_json::from_str(text) {
            Ok(Mapping(manifest)) => Self::Manifest(manifest),
            Err(error) => Self::Unreadable(format!("the object cannot be read: {error}")),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Which fields of the consumer are written, whatever they hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline<'a> {
    #[serde(borrow)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "serde reads a set from an array, and this is an object's keys"
    )]
    consumer_spec: BTreeMap<Cow<'a, str>, IgnoredAny>,
}

impl<'a> Object<'a> {
    /// Reads an object; fails with a sentence where it is no KconsumerGroup at all.
    pub(super) fn read(written: &'a Written<'a>, request: &'a Request<'_>) -> Result<Self, String> {
        let manifest = match written {
            Written::Manifest(manifest) => manifest,
            Written::Unreadable(why) => return Err(why.clone()),
        };
        let ours = manifest.kind == names::KIND
            && manifest.api_version.split_once('/') == Some((names::GROUP, names::VERSION));
        if !ours {
            let (kind, group, version) = (names::KIND, names::GROUP, names::VERSION);
            return Err(format!("the object is no {kind} of {group}/{version}"));
        }
        let given = manifest.metadata.0.name.as_deref();
        let mut object = Self {
            name: Some(&*request.name)
                .filter(|name| !name.is_empty())
                .or(given)
                .filter(|name| !name.is_empty()),
            namespace: &request.namespace,
            spec: None,
            misread: Vec::new(),
            text: manifest.spec.map(RawValue::get),
        };
        object.read_spec();
        Ok(object)
    }

    fn read_spec(&mut self) {
        let text = self.text.unwrap_or("null");
        if let Some(excess) = text.len().checked_sub(LONGEST_SPEC + 1) {
            let sentence = format!("must have at most {LONGEST_SPEC} bytes");
            let excess = i64::try_from(excess + 1).unwrap_or(i64::MAX);
            self.misread =
                vec![Violation::new(Rule::Type, ErrorType::TooLong, "spec", sentence).with_excess(excess)];
            return;
        }
        match serde_json::from_str(text) {
            Ok(Mapping(spec)) => self.spec = Some(spec),
            Err(error) => self.read_piecemeal(text, &error),
        }
    }

    /// Something in the spec has the wrong type: finds all of it, and reads the rest.
    fn read_piecemeal(&mut self, text: &str, first: &serde_json::Error) {
        let whole = |sentence: String| Violation::forbidden(Rule::Type, "spec", sentence);
        let spec: Value = match serde_json::from_str(text) {
            Ok(spec) => spec,
            Err(error) => {
                self.misread = vec![whole(format!("cannot be read: {error}"))];
                return;
            }
        };
        let written = valid::parse_group(json!({
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": names::KIND,
            "metadata": {"name": self.name},
            "spec": spec,
        }));
        self.misread = written.violations;
        // A field that stands there twice is lost on the way to a value.
        if self.misread.is_empty() {
            self.misread.push(whole(format!("cannot be read: {first}")));
        }
        self.spec = Some(written.group.spec);
    }

    /// A value that could not be read is missing from the spec, which breaks further rules at its place: those are
    /// only echoes.
    pub(super) fn forget_what_follows_from_misreading(&self, violations: &mut Vec<Violation>) {
        let echoes = |violation: &Violation| {
            self.misread.iter().any(|misread| {
                violation
                    .field
                    .strip_prefix(&misread.field)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        let mut position = 0;
        violations.retain(|violation| {
            position += 1;
            position <= self.misread.len() || !echoes(violation)
        });
    }

    /// The object reduced to the fields that are there, as the defaults want to see it; `None` where both that they
    /// may fill in are.
    pub(super) fn outline(&self) -> Option<Value> {
        let consumer = &self.spec.as_ref()?.consumer_spec;
        if consumer.container_name.is_some() && consumer.group_id.is_some() {
            return None;
        }
        let mut fields = Map::new();
        let (container_name, group_id) = ("containerName", "groupId");
        for (field, given) in
            [(container_name, consumer.container_name.is_some()), (group_id, consumer.group_id.is_some())]
        {
            // Written as null, it is there all the same; only then does the text hold its name.
            if given || self.text?.contains(field) && self.writes(field) {
                fields.insert(field.to_owned(), Value::Null);
            }
        }
        Some(json!({"metadata": {"name": self.name}, "spec": {"consumerSpec": fields}}))
    }

    /// Whether the consumer has this field, whatever it holds.
    fn writes(&self, field: &str) -> bool {
        let outline = self.text.and_then(|text| serde_json::from_str::<Outline<'_>>(text).ok());
        outline.is_none_or(|outline| outline.consumer_spec.contains_key(field))
    }
}
