//! Manifests: files of YAML or JSON with any number of objects, of which the KconsumerGroups count.

use kcg_api::names;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Cursor, Read as _};

use super::Failure;

/// What stands for standard input among the files.
const STDIN: &str = "-";

/// A manifest that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    File(#[from] io::Error),
    /// A place in the text where it is no YAML or JSON.
    #[error("line {line}, column {column}: {what}")]
    Syntax { line: u64, column: u64, what: String },
    #[error("{0}")]
    Other(String),
}

/// The KconsumerGroups of one file, and what of it cannot be read. Objects of other kinds are passed over.
pub fn groups(file: &str) -> Vec<Result<Value, Unreadable>> {
    match text(file) {
        Ok(text) => documents(&text).into_iter().flat_map(of_our_kind).collect(),
        Err(error) => vec![Err(error.into())],
    }
}

/// How a file is called in what is printed.
pub fn name(file: &str) -> &str {
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

fn documents(text: &str) -> Vec<Result<Value, Unreadable>> {
    // JSON is tried as such: its tabs are no YAML.
    if text.trim_start().starts_with('{') {
        let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        if let Ok(documents) = parsed {
            return documents.into_iter().map(Ok).collect();
        }
    }
    let mut reader = Cursor::new(text.as_bytes());
    // The picture of the place that the parser could draw is left out: one line names one fault.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::read_with_options(&mut reader, options)
        .map(|document| document.map_err(|error| located(&error)))
        .collect()
}

fn located(error: &serde_saphyr::Error) -> Unreadable {
    let what = error.render_with_options(serde_saphyr::RenderOptions::default());
    match error.location() {
        Some(place) => {
            Unreadable::Syntax { line: place.line(), column: place.column(), what: without_place(&what) }
        }
        None => Unreadable::Other(what),
    }
}

/// The parser ends its sentence with the place, which is printed in front of it.
fn without_place(what: &str) -> String {
    what.rsplit_once(" at line ").map_or(what, |(sentence, _)| sentence).to_owned()
}

/// The groups in one document; a List's items are documents too.
fn of_our_kind(document: Result<Value, Unreadable>) -> Vec<Result<Value, Unreadable>> {
    let mut document = match document {
        Ok(document) => document,
        Err(error) => return vec![Err(error)],
    };
    if is_ours(&document) {
        return vec![Ok(document)];
    }
    let is_list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items.into_iter().filter(is_ours).map(Ok).collect(),
        _ => Vec::new(),
    }
}

fn is_ours(document: &Value) -> bool {
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    group == names::GROUP && text("kind") == names::KIND
}

/// Several objects as the documents of one YAML stream.
pub fn yaml<T: Serialize>(objects: &[T]) -> Result<String, Failure> {
    let mut stream = String::new();
    for object in objects {
        // By way of JSON, so that fields without a value are left out and the order is always the same.
        let document = serde_json::to_value(object).map_err(Failure::passing)?;
        let text = serde_saphyr::to_string(&document).map_err(Failure::passing)?;
        stream.extend(["---\n", text.trim_end(), "\n"]);
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GROUP: &str = "apiVersion: thenextapps.com/v1alpha1\nkind: KconsumerGroup\nmetadata: {name: a}\n";

    fn read(text: &str) -> Vec<Result<Value, Unreadable>> {
        documents(text).into_iter().flat_map(of_our_kind).collect()
    }

    #[test]
    fn other_kinds_are_passed_over_and_lists_are_opened() {
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
    fn a_fault_is_told_by_line_and_column() {
        let read = read(&format!("{GROUP}spec:\n  a: [1, 2\n  b: }}\n"));
        let said = read.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(said.starts_with("line "), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }

    #[test]
    fn json_with_tabs_is_json() {
        let text = "{\n\t\"apiVersion\": \"thenextapps.com/v1alpha1\",\n\t\"kind\": \"KconsumerGroup\"}\n";
        assert_eq!(read(text).len(), 1);
    }

    #[test]
    fn printed_objects_read_back_as_they_were() {
        let objects = [
            json!({"a": "yes", "b": "1", "c": "5s", "d": "on", "e": [], "f": {}, "g": "x: y # z", "h": "line\nline\n"}),
            json!({"expr": format!("avg(max by (pod) (metric{{{}}})) > 1000", "label=\"value\",".repeat(20))}),
        ];
        let text = yaml(&objects).unwrap();
        let back: Vec<Value> = documents(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(back, objects);
    }
}
