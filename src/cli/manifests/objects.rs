//! The objects in a document, told apart: groups, what is probably meant to be one, and others.

use kcg_api::names;
use kcg_api::yaml_error::YamlError;
use serde_json::Value;

use super::Document;

/// The kind of a list of objects of any kind.
const ANY_LIST_KIND: &str = "List";
/// The kind of a list of groups, as the API server writes it.
const LIST_KIND: &str = "KconsumerGroupList";
/// How many letters a kind may differ from ours to be taken for a misspelt one.
const MISSPELT_WITHIN: usize = 2;

type Objects = Vec<Result<Document, YamlError>>;

/// Adds the objects of a document that begins at `line`.
pub(super) fn add(line: u64, value: Value, documents: &mut Objects) {
    add_part(&ObjectPlace { line, item: String::new() }, value, documents);
}

/// Where an object is: the line of its document, and its place in a List.
struct ObjectPlace {
    line: u64,
    /// For example `items[1]`; empty for the document itself.
    item: String,
}

impl ObjectPlace {
    fn item(&self, index: usize) -> Self {
        let dot = if self.item.is_empty() { "" } else { "." };
        Self { line: self.line, item: format!("{}{dot}items[{index}]", self.item) }
    }

    /// A sentence about the object.
    fn says(&self, what: &str) -> String {
        let item = if self.item.is_empty() { String::new() } else { format!("{}: ", self.item) };
        format!("line {}: {item}{what}", self.line)
    }

    fn error(&self, what: &str) -> Result<Document, YamlError> {
        Err(YamlError { place: None, message: self.says(what) })
    }
}

fn add_part(place: &ObjectPlace, mut value: Value, documents: &mut Objects) {
    if !value.is_object() {
        return documents.push(no_object(place, &value));
    }
    let kind = text(&value, "kind").to_owned();
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if kind.ends_with(ANY_LIST_KIND) => {
            for (index, mut item) in items.into_iter().enumerate() {
                // The items of a typed list need not repeat its kind.
                if kind == LIST_KIND && item.is_object() && item.get("kind").is_none() {
                    item["kind"] = names::KIND.into();
                    item["apiVersion"] = value["apiVersion"].clone();
                }
                add_part(&place.item(index), item, documents);
            }
        }
        // An empty list, as Go writes it.
        Some(Value::Null) if kind.ends_with(ANY_LIST_KIND) => {}
        items if kind == ANY_LIST_KIND || kind == LIST_KIND => {
            let what = format!("the items of a {kind} must be a list (-)");
            let is_ours = kind == LIST_KIND || items.is_some_and(|items| has_group(&items));
            let why = || Ok(Document::LooksLikeOurs(place.says(&what)));
            documents.push(if is_ours { why() } else { place.error(&what) });
        }
        Some(items) if has_group(&items) => {
            let what = "it has items with a KconsumerGroup, and its kind is not List";
            documents.push(Ok(Document::LooksLikeOurs(place.says(what))));
        }
        _ => documents.push(Ok(classify(place, value))),
    }
}

/// What kubectl refuses as well. With a group in it, it cannot be skipped.
fn no_object(place: &ObjectPlace, value: &Value) -> Result<Document, YamlError> {
    const LIST: &str = "is a list (-), which kubectl refuses, too: separate the objects by ---, or make them the items of a List";
    match value {
        Value::Array(_) if has_group(value) => {
            Ok(Document::LooksLikeOurs(place.says(&format!("a document with a {} {LIST}", names::KIND))))
        }
        Value::Array(_) => place.error(&format!("the document {LIST}")),
        _ => place.error("it is a single value and no Kubernetes object: kubectl refuses it, too"),
    }
}

/// Whether something in a list looks like a group.
fn has_group(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_group),
        Value::Object(fields) => {
            let (api_version, kind) = (text(value, "apiVersion"), text(value, "kind"));
            is_of_our_group(api_version) || is_misspelt(kind) || fields.get("items").is_some_and(has_group)
        }
        _ => false,
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_of_our_group(api_version: &str) -> bool {
    api_version.split('/').next() == Some(names::GROUP)
}

fn classify(place: &ObjectPlace, value: Value) -> Document {
    let (api_version, kind) = (text(&value, "apiVersion"), text(&value, "kind"));
    let is_our_group = is_of_our_group(api_version);
    if is_our_group && kind == names::KIND {
        return Document::Group(value);
    }
    let (our_kind, group, version) = (names::KIND, names::GROUP, names::VERSION);
    let ours = format!("a group has the kind {our_kind} and the apiVersion {group}/{version}");
    let name = name_of(&value);
    let found = if kind == our_kind {
        format!("{kind} {name:?} has the apiVersion {api_version:?}")
    } else if is_our_group || is_misspelt(kind) {
        format!("the object {name:?} has the kind {kind:?} and the apiVersion {api_version:?}")
    } else {
        return Document::Other;
    };
    Document::LooksLikeOurs(place.says(&format!("{found}: {ours}")))
}

/// The name of an object, or its generateName; empty if it has neither.
pub(in crate::cli) fn name_of(object: &Value) -> String {
    let metadata = |field: &str| match &object["metadata"][field] {
        Value::String(name) => Some(name.clone()).filter(|name| !name.is_empty()),
        // `name: 5` is no name, and the message has to say which object it is about.
        Value::Number(name) => Some(name.to_string()),
        _ => None,
    };
    metadata("name").or_else(|| metadata("generateName")).unwrap_or_default()
}

/// Whether a kind differs from ours by at most two letters, whichever are capitals.
fn is_misspelt(kind: &str) -> bool {
    let close = kind.len().abs_diff(names::KIND.len()) <= 4 * MISSPELT_WITHIN;
    close && strsim::damerau_levenshtein(&kind.to_lowercase(), &names::KIND.to_lowercase()) <= MISSPELT_WITHIN
}
