//! Manifests: YAML or JSON with any number of objects, read as kubectl reads them.

#[cfg(test)]
mod tests;

use std::io::Cursor;

use kcg_api::names;
use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// The kind of a list of groups, as the API server writes it.
const LIST_KIND: &str = "KconsumerGroupList";
/// How many letters a kind may differ from ours to be taken for a misspelt one.
const MISSPELT_WITHIN: usize = 2;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("line {line}, column {column}: {message}")]
    Syntax { line: u64, column: u64, message: String },
    #[error("{0}")]
    Other(String),
}

/// One object of a manifest.
#[derive(Debug, PartialEq)]
pub(super) enum Document {
    /// A KconsumerGroup of any version.
    Group(Value),
    /// Probably meant to be a KconsumerGroup; why it is none.
    LooksLikeOurs(String),
    /// Any other object.
    Other,
}

/// The objects in a text, those of a List one by one, and an error for each document that cannot be
/// read. Empty documents are skipped.
pub(super) fn documents(text: &str) -> Vec<Result<Document, ManifestError>> {
    let mut documents = Vec::new();
    for value in values(text) {
        match value {
            Ok(Value::Null) => {}
            Ok(value) => add_objects(value, &mut documents),
            Err(error) => documents.push(Err(error)),
        }
    }
    documents
}

fn values(text: &str) -> Vec<Result<Value, ManifestError>> {
    // JSON may contain tabs, which YAML does not allow.
    if text.trim_start().starts_with('{') {
        let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        if let Ok(documents) = parsed {
            return documents.into_iter().map(with_whole_numbers).map(Ok).collect();
        }
    }
    let mut reader = Cursor::new(text.as_bytes());
    // Without a snippet of the source: an error is one line. `defaultMode: 0755` is octal for kubectl.
    // The budget is wide enough for other people's CRDs; aliases cannot multiply beyond it.
    let options = serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: 128,
            max_documents: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    };
    serde_saphyr::read_with_options(&mut reader, options)
        .map(|document: Result<Value, _>| document.map(with_whole_numbers).map_err(|error| located(&error)))
        .collect()
}

/// Writes a float without a fraction as a whole number, as kubectl sends it: `1e3` is 1000, and so is
/// `1000.0`.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match whole(&number) {
            Some(whole) => whole.into(),
            None => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, with_whole_numbers(value))).collect()
        }
        other => other,
    }
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)?;
    // Below 2^53, so that the conversion is exact.
    #[allow(clippy::cast_possible_truncation)]
    (float.abs() < EXACT).then_some(float as i64)
}

fn located(error: &serde_saphyr::Error) -> ManifestError {
    let message = error.render_with_options(serde_saphyr::RenderOptions::default());
    match error.location() {
        Some(place) => ManifestError::Syntax {
            line: place.line(),
            column: place.column(),
            message: without_location(&message),
        },
        None => ManifestError::Other(message),
    }
}

/// The parser ends its message with the location, which is printed before the message.
fn without_location(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message).to_owned()
}

fn add_objects(mut value: Value, documents: &mut Vec<Result<Document, ManifestError>>) {
    let kind = text(&value, "kind").to_owned();
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = value.get_mut("items").map(Value::take)
    {
        for mut item in items {
            // The items of a typed list need not repeat its kind.
            if kind == LIST_KIND && item.is_object() && item.get("kind").is_none() {
                item["kind"] = names::KIND.into();
                item["apiVersion"] = value["apiVersion"].clone();
            }
            add_objects(item, documents);
        }
        return;
    }
    documents.push(Ok(classify(value)));
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn classify(value: Value) -> Document {
    let (api_version, kind) = (text(&value, "apiVersion"), text(&value, "kind"));
    let is_our_group = api_version.split_once('/').is_some_and(|(group, _)| group == names::GROUP);
    if is_our_group && kind == names::KIND {
        return Document::Group(value);
    }
    let ours = format!(
        "a group has the kind {} and the apiVersion {}/{}",
        names::KIND,
        names::GROUP,
        names::VERSION
    );
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    if kind == names::KIND {
        return Document::LooksLikeOurs(format!(
            "{kind} {name:?} has the apiVersion {api_version:?}: {ours}"
        ));
    }
    if is_our_group || is_misspelt(kind) {
        let found = format!("the object {name:?} has the kind {kind:?} and the apiVersion {api_version:?}");
        return Document::LooksLikeOurs(format!("{found}: {ours}"));
    }
    Document::Other
}

/// Whether a kind differs from ours by at most two letters, whichever are capitals.
fn is_misspelt(kind: &str) -> bool {
    let close = kind.len().abs_diff(names::KIND.len()) <= 4 * MISSPELT_WITHIN;
    close && strsim::damerau_levenshtein(&kind.to_lowercase(), &names::KIND.to_lowercase()) <= MISSPELT_WITHIN
}

/// Writes objects as the documents of one YAML stream.
pub(super) fn yaml<T: Serialize>(objects: &[T]) -> Result<String, CliError> {
    let mut stream = String::new();
    for object in objects {
        // Through JSON, so that fields without a value are omitted and the order is stable.
        let document = serde_json::to_value(object).map_err(CliError::temporary)?;
        let text = serde_saphyr::to_string(&document).map_err(CliError::temporary)?;
        stream.extend(["---\n", text.trim_end(), "\n"]);
    }
    Ok(stream)
}
