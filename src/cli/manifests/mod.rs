//! Manifests: YAML or JSON with any number of objects, read as kubectl reads them.

mod json;
mod objects;
#[cfg(test)]
mod tests;

use std::io::Cursor;

use kcg_api::spec_bounds;
use kcg_api::yaml_error::YamlError;
use serde::Serialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::CliError;

pub(super) use objects::name_of;

/// The most values that aliases repeat: twice as many as a group can have, a list and its end being two.
const MAX_REPEATED_EVENTS: usize = 2 * spec_bounds::MAX_NODES;
/// The most bytes of the texts that they repeat.
const MAX_REPEATED_BYTES: usize = 1 << 20;

/// One object of a manifest.
#[derive(Debug, PartialEq)]
pub(super) enum Document {
    /// A KconsumerGroup of any version.
    Group(Value),
    /// Probably meant to be a KconsumerGroup; its line and why it is none.
    LooksLikeOurs(String),
    /// Any other object.
    Other,
}

/// A document and where it begins.
struct Located {
    line: u64,
    value: Value,
}

/// The objects in a text, those of a List one by one, and an error for each document that cannot be
/// read. Empty documents are skipped.
pub(super) fn documents(text: &str) -> Vec<Result<Document, YamlError>> {
    let mut documents = Vec::new();
    for value in values(text) {
        match value {
            Ok(Located { value: Value::Null, .. }) => {}
            Ok(Located { line, value }) => objects::add(line, value, &mut documents),
            Err(error) => documents.push(Err(error)),
        }
    }
    documents
}

fn values(text: &str) -> Vec<Result<Located, YamlError>> {
    // JSON may contain tabs, which YAML does not allow.
    let json = Some(text).filter(|text| text.trim_start().starts_with('{')).and_then(json::documents);
    let documents = json.unwrap_or_else(|| yaml_documents(text)).into_iter();
    let whole = |Located { line, value }| Located { line, value: with_whole_numbers(value) };
    documents.map(|document| document.map(whole)).collect()
}

fn yaml_documents(text: &str) -> Vec<Result<Located, YamlError>> {
    let mut reader = Cursor::new(text.as_bytes());
    // Without a snippet of the source: an error is one line. `defaultMode: 0755` is octal for kubectl.
    // The budget is wide enough for other people's CRDs, and aliases add little to it.
    let options = serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: spec_bounds::MAX_DOCUMENT_DEPTH,
            max_documents: 10_000,
            max_total_scalar_bytes: text.len() + MAX_REPEATED_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED_EVENTS },
    };
    // The parser bounds each document. Without aliases, a text has fewer values than bytes.
    let mut room = text.len() + MAX_REPEATED_EVENTS;
    let mut documents = Vec::new();
    for document in serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut reader, options) {
        match document {
            Ok(Spanned { value, referenced, .. }) => {
                let line = referenced.line();
                let Some(left) = room.checked_sub(count(&value)) else {
                    documents.push(Err(YamlError::too_many_repeated(line)));
                    break;
                };
                room = left;
                documents.push(Ok(Located { line, value }));
            }
            Err(error) => documents.push(Err(YamlError::new(&error, text))),
        }
    }
    documents
}

/// How many values there are in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
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
