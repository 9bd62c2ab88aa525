//! Parsing of objects with values of wrong types: all of them are reported, and the rest is parsed.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::field_path;
use crate::group::KconsumerGroup;
use crate::violation::{ErrorType, Rule, Violation};
use crate::wrong_type;

/// A group parsed from JSON that may have values of wrong types.
#[derive(Clone, Debug)]
pub struct ParsedGroup {
    /// The group without the values of wrong types.
    pub group: KconsumerGroup,
    /// One violation for each value of a wrong type.
    pub violations: Vec<Violation>,
}

impl ParsedGroup {
    /// Removes the violations that only follow from a value of a wrong type.
    pub fn drop_followup_errors(&self, violations: &mut Vec<Violation>) {
        drop_followup_errors(&self.violations, violations);
    }
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
    if let Some(fields) = group.as_object_mut() {
        // Only the controller writes status, and no rule reads it.
        fields.remove("status");
        // An object without metadata has no name, which is a violation of its own.
        let metadata = fields.entry("metadata").or_insert(Value::Null);
        if !metadata.is_object() {
            let found = std::mem::replace(metadata, Value::Object(serde_json::Map::new()));
            if !found.is_null() {
                let message = "invalid type, expected an object";
                violations.push(wrong_type::violation(Rule::Type, "metadata".to_owned(), found, message));
            }
        }
    }
    let parsed = parse(&mut group, Rule::Type, "");
    violations.extend(parsed.violations);
    ParsedGroup { group: parsed.object.unwrap_or_default(), violations }
}

/// An object parsed without its values of wrong types.
#[derive(Debug)]
pub(crate) struct Parsed<T> {
    /// `None` if it has too many of them.
    pub(crate) object: Option<T>,
    /// One violation for each.
    pub(crate) violations: Vec<Violation>,
    /// Where the object's lists are not those of the source.
    pub(crate) removed: Removed,
}

/// The most wrong types that are reported; each costs another pass over the object.
pub(crate) const MAX_TYPE_ERRORS: usize = 20;

/// Parses what is at the path `base`. Removes the values of wrong types from `source`.
pub(crate) fn parse<T: DeserializeOwned>(source: &mut Value, rule: Rule, base: &str) -> Parsed<T> {
    let mut violations = Vec::new();
    let mut removed = Removed::default();
    let object = loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&*source) {
            Ok(object) => break Some(object),
            Err(error) => error,
        };
        if violations.len() == MAX_TYPE_ERRORS {
            let field = if base.is_empty() { "spec" } else { base };
            let detail = format!("has more than these {MAX_TYPE_ERRORS} values of wrong types");
            violations.push(Violation::new(rule, ErrorType::TypeInvalid, field, detail));
            break None;
        }
        let message = error.inner().to_string();
        let field = removed.source_path(base, error.path().iter());
        let Some(value) = removed.take(source, base, error.path(), &message) else {
            violations.push(wrong_type::violation(rule, field, source.clone(), &message));
            break None;
        };
        violations.push(wrong_type::violation(rule, field, value, &message));
    };
    Parsed { object, violations, removed }
}

/// Removes the violations that only follow from a type error: a value that cannot be read is
/// missing from the object, and so violates further rules at the same field.
pub fn drop_followup_errors(type_errors: &[Violation], violations: &mut Vec<Violation>) {
    violations.retain(|violation| {
        type_errors.contains(violation)
            || !type_errors.iter().any(|error| field_path::is_within(&violation.field, &error.field))
    });
}

/// The items that were removed from the lists of an object.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// The list's path and the item's index, both in the user's source.
    items: Vec<(String, usize)>,
    /// Whether a list of objects is among them: rules name its items by their indices.
    pub(crate) has_objects: bool,
}

impl Removed {
    /// Removes the value at `path`, or the nearest parent that can be removed.
    pub(crate) fn take(
        &mut self,
        source: &mut Value,
        base: &str,
        path: &Path,
        message: &str,
    ) -> Option<Value> {
        let mut segments: Vec<_> = path.iter().collect();
        while let Some(last) = segments.pop() {
            let parent = segments.iter().try_fold(&mut *source, |value, segment| match segment {
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
                    let list = self.source_path(base, segments.iter().copied());
                    let original = self.source_index(&list, *index);
                    self.items.push((list, original));
                    self.has_objects |= !message.ends_with("expected a string");
                    return Some(items.remove(*index));
                }
                _ => {}
            }
        }
        None
    }

    /// Translates a path in the reduced object to the path in the user's source.
    pub(crate) fn source_path<'a>(&self, base: &str, segments: impl Iterator<Item = &'a Segment>) -> String {
        let mut field = base.to_owned();
        for segment in segments {
            match segment {
                Segment::Seq { index } => {
                    let index = self.source_index(&field, *index);
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

    /// Translates a field of the reduced object to that of the user's source.
    pub(crate) fn in_source(&self, field: &str) -> String {
        let (mut translated, mut rest) = (String::new(), field);
        while let Some((before, (index, after))) =
            rest.split_once('[').and_then(|(before, inside)| Some((before, inside.split_once(']')?)))
        {
            translated.push_str(before);
            let index = index
                .parse()
                .map_or(index.to_owned(), |index| self.source_index(&translated, index).to_string());
            translated.extend(["[", &index, "]"]);
            rest = after;
        }
        translated + rest
    }

    /// Each item removed before `index` has shifted the items after it by one.
    pub(crate) fn source_index(&self, list: &str, index: usize) -> usize {
        let mut removed: Vec<usize> =
            self.items.iter().filter(|(path, _)| path == list).map(|(_, index)| *index).collect();
        removed.sort_unstable();
        removed.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
    }
}
