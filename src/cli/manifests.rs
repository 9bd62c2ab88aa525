//! Manifests: files of YAML or JSON with any number of objects. Only KconsumerGroups are read.

use std::io::{self, Cursor, Read as _};

use kcg_api::names;
use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// The file name that means standard input.
const STDIN: &str = "-";

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("line {line}, column {column}: {message}")]
    Syntax { line: u64, column: u64, message: String },
    #[error("{0}")]
    Other(String),
}

/// The KconsumerGroups in one file, and an error for each document that cannot be read. Ignores
/// objects of other kinds.
pub(super) fn groups(file: &str) -> Vec<Result<Value, ManifestError>> {
    match text(file) {
        Ok(text) => documents(&text).into_iter().flat_map(groups_in).collect(),
        Err(error) => vec![Err(error.into())],
    }
}

/// The name of a file in messages.
pub(super) fn display_name(file: &str) -> &str {
    if file == STDIN { "standard input" } else { file }
}

fn text(file: &str) -> io::Result<String> {
    if file == STDIN {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

fn documents(text: &str) -> Vec<Result<Value, ManifestError>> {
    // JSON may contain tabs, which YAML does not allow.
    if text.trim_start().starts_with('{') {
        let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        if let Ok(documents) = parsed {
            return documents.into_iter().map(Ok).collect();
        }
    }
    let mut reader = Cursor::new(text.as_bytes());
    // Without a snippet of the source: an error is one line. `defaultMode: 0755` is octal for kubectl.
    let options = serde_saphyr::options! { with_snippet: false, legacy_octal_numbers: true };
    serde_saphyr::read_with_options(&mut reader, options)
        .map(|document| document.map_err(|error| located(&error)))
        .collect()
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

/// The groups in one document; the items of a List count as documents.
fn groups_in(document: Result<Value, ManifestError>) -> Vec<Result<Value, ManifestError>> {
    let mut document = match document {
        Ok(document) => document,
        Err(error) => return vec![Err(error)],
    };
    if is_group(&document) {
        return vec![Ok(document)];
    }
    let is_list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items.into_iter().filter(is_group).map(Ok).collect(),
        _ => Vec::new(),
    }
}

fn is_group(document: &Value) -> bool {
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    group == names::GROUP && text("kind") == names::KIND
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GROUP: &str = "apiVersion: thenextapps.com/v1alpha1\nkind: KconsumerGroup\nmetadata: {name: a}\n";

    fn read(text: &str) -> Vec<Result<Value, ManifestError>> {
        documents(text).into_iter().flat_map(groups_in).collect()
    }

    #[test]
    fn other_kinds_are_ignored_and_lists_are_expanded() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "b"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}},
        ]});
        let text = format!("{GROUP}---\napiVersion: v1\nkind: Service\n---\n# nothing\n---\n{list}\n");
        let names: Vec<Value> =
            read(&text).into_iter().map(|group| group.unwrap()["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_syntax_error_has_a_line_and_a_column() {
        let read = read(&format!("{GROUP}spec:\n  a: [1, 2\n  b: }}\n"));
        let message = read.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(message.starts_with("line "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        let text = "{a: 0755, b: 0o755, c: 0400, d: 755, e: 0, f: 0.5, g: '0755', h: 0x1F, i: 1e3}";
        let read: Value = documents(text).remove(0).unwrap();
        assert_eq!(
            read,
            json!({"a": 493, "b": 493, "c": 256, "d": 755, "e": 0, "f": 0.5, "g": "0755", "h": 31, "i": 1000.0})
        );
    }

    #[test]
    fn json_may_contain_tabs() {
        let text = "{\n\t\"apiVersion\": \"thenextapps.com/v1alpha1\",\n\t\"kind\": \"KconsumerGroup\"}\n";
        assert_eq!(read(text).len(), 1);
    }

    #[test]
    fn printed_objects_parse_to_the_same_objects() {
        let objects = [
            json!({"a": "yes", "b": "1", "c": "5s", "d": "on", "e": [], "f": {}, "g": "x: y # z", "h": "line\nline\n"}),
            json!({"expr": format!("avg(max by (pod) (metric{{{}}})) > 1000", "label=\"value\",".repeat(20))}),
        ];
        let text = yaml(&objects).unwrap();
        let back: Vec<Value> = documents(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(back, objects);
    }
}
