//! The field errors of one rule.

use std::collections::HashSet;
use std::hash::Hash;

use serde_json::Value;

use crate::names::Grammar;
use crate::violation::{Rule, Violation};

/// A field whose path is made only for an error.
pub(super) struct Path<F>(pub(super) F);

impl<F: FnOnce() -> String> From<Path<F>> for String {
    fn from(Path(make): Path<F>) -> Self {
        make()
    }
}

/// Collects the field errors of one rule.
pub(super) struct FieldErrors<'a> {
    rule: Rule,
    violations: &'a mut Vec<Violation>,
}

impl<'a> FieldErrors<'a> {
    pub(super) fn new(rule: Rule, violations: &'a mut Vec<Violation>) -> Self {
        Self { rule, violations }
    }

    pub(super) fn required(&mut self, field: impl Into<String>, detail: &str) {
        self.violations.push(Violation::required(self.rule, field, detail));
    }

    pub(super) fn invalid(&mut self, field: impl Into<String>, value: impl Into<Value>, detail: &str) {
        self.violations.push(Violation::invalid(self.rule, field, value, detail));
    }

    pub(super) fn duplicate(&mut self, field: impl Into<String>, value: impl Into<Value>) {
        self.violations.push(Violation::duplicate(self.rule, field, value));
    }

    pub(super) fn not_found(&mut self, field: impl Into<String>, value: &str) {
        self.violations.push(Violation::not_found(self.rule, field, value));
    }

    /// A reference to something that is not among what `detail` names.
    pub(super) fn not_among(&mut self, field: impl Into<String>, value: &str, detail: &str) {
        let violation = Violation::not_found(self.rule, field, value);
        self.violations.push(Violation { detail: detail.to_owned(), ..violation });
    }

    pub(super) fn not_supported(&mut self, field: impl Into<String>, value: &str, supported: &[&str]) {
        self.violations.push(Violation::not_supported(self.rule, field, value, supported));
    }

    pub(super) fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.violations.push(Violation::forbidden(self.rule, field, detail));
    }

    pub(super) fn too_long(&mut self, field: impl Into<String>, bytes: usize, most: usize) {
        self.violations.push(Violation::too_long(self.rule, field, bytes, most));
    }

    pub(super) fn too_many(&mut self, field: impl Into<String>, count: usize, most: usize) {
        self.violations.push(Violation::too_many(self.rule, field, count, most));
    }

    /// A text that is set must follow the grammar.
    pub(super) fn follows<'t>(
        &mut self,
        field: impl Into<String>,
        text: impl Into<Option<&'t str>>,
        grammar: &Grammar,
        message: &str,
    ) {
        if let Some(text) = text.into().filter(|text| !grammar.matches(text)) {
            self.invalid(field, text, message);
        }
    }

    /// A value that is set must be one of the supported ones.
    pub(super) fn one_of(&mut self, field: impl Into<String>, value: Option<&str>, supported: &[&str]) {
        if let Some(value) = value.filter(|value| !supported.contains(value)) {
            self.not_supported(field, value, supported);
        }
    }

    /// Each value is listed once, as server-side apply requires of a set.
    pub(super) fn distinct_values<T>(&mut self, field: &str, values: impl Iterator<Item = T>)
    where
        T: Copy + Eq + Hash + Into<Value>,
    {
        let mut seen = HashSet::new();
        for (index, value) in values.enumerate() {
            if !seen.insert(value) {
                self.duplicate(format!("{field}[{index}]"), value);
            }
        }
    }

    /// Each key is listed once. `field` is the list, `key` the field of an item.
    pub(super) fn distinct<'k>(&mut self, field: &str, key: &str, keys: impl Iterator<Item = &'k str>) {
        let mut seen = HashSet::new();
        for (index, value) in keys.enumerate() {
            if !seen.insert(value) {
                self.duplicate(format!("{field}[{index}].{key}"), value);
            }
        }
    }
}
