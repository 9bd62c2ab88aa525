//! Parsing of a group with values of wrong types.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::group::KconsumerGroup;
use crate::violation::{ErrorType, Rule, Violation};

/// A group parsed from JSON that may have values of wrong types.
#[derive(Clone, Debug)]
pub struct ParsedGroup {
    /// The group without the values of wrong types.
    pub group: KconsumerGroup,
    /// One violation for each value of a wrong type.
    pub violations: Vec<Violation>,
}

/// Parses a group without giving up at the first value of a wrong type: records a violation,
/// removes the value and parses the rest again.
pub fn parse_group(mut group: Value) -> ParsedGroup {
    let mut violations = Vec::new();
    if !group.get("spec").is_some_and(Value::is_object) {
        violations.push(Violation::required(
            Rule::Type,
            "spec",
            "a KconsumerGroup needs a spec with a consumerSpec",
        ));
        if let Some(fields) = group.as_object_mut() {
            fields.insert("spec".to_owned(), Value::Object(serde_json::Map::new()));
        }
    }
    // Only the controller writes status, and no rule reads it.
    if let Some(fields) = group.as_object_mut() {
        fields.remove("status");
    }
    let mut removed = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, KconsumerGroup>(&group) {
            Ok(group) => return ParsedGroup { group, violations },
            Err(error) => error,
        };
        let field = source_path(error.path().iter(), &removed);
        let detail = error.inner().to_string();
        let value =
            remove(&mut group, error.path(), &mut removed).filter(|_| violations.len() < MAX_TYPE_ERRORS);
        let Some(value) = value else {
            violations.push(Violation::new(Rule::Type, ErrorType::Invalid, field, detail));
            return ParsedGroup { group: KconsumerGroup::default(), violations };
        };
        violations.push(Violation {
            value: Some(value),
            ..Violation::new(Rule::Type, ErrorType::TypeInvalid, field, detail)
        });
    }
}

/// The most wrong types that are reported; each costs another pass over the group.
const MAX_TYPE_ERRORS: usize = 20;

/// An item that was removed from a list: the list's path and the item's index, both in the user's
/// source.
type RemovedItem = (String, usize);

/// Removes the value at `path`, or the nearest parent that can be removed.
fn remove(group: &mut Value, path: &Path, removed: &mut Vec<RemovedItem>) -> Option<Value> {
    let mut segments: Vec<_> = path.iter().collect();
    while let Some(last) = segments.pop() {
        let parent = segments.iter().try_fold(&mut *group, |value, segment| match segment {
            Segment::Map { key } => value.get_mut(key),
            Segment::Seq { index } => value.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        match (parent, last) {
            (Some(Value::Object(fields)), Segment::Map { key }) => {
                if let Some(value) = fields.remove(key) {
                    return Some(value);
                }
            }
            (Some(Value::Array(items)), Segment::Seq { index }) if *index < items.len() => {
                let list = source_path(segments.iter().copied(), removed);
                let original = source_index(&list, *index, removed);
                removed.push((list, original));
                return Some(items.remove(*index));
            }
            _ => {}
        }
    }
    None
}

/// Translates a path in the reduced group to the path in the user's source.
fn source_path<'a>(segments: impl Iterator<Item = &'a Segment>, removed: &[RemovedItem]) -> String {
    let mut field = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => {
                let index = source_index(&field, *index, removed);
                field.extend(["[", &index.to_string(), "]"]);
            }
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(name);
            }
            Segment::Unknown => {}
        }
    }
    field
}

/// Each item removed before `index` has shifted the items after it by one.
fn source_index(list: &str, index: usize, removed: &[RemovedItem]) -> usize {
    let mut removed: Vec<usize> =
        removed.iter().filter(|(path, _)| path == list).map(|(_, index)| *index).collect();
    removed.sort_unstable();
    removed.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
}
