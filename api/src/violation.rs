//! Violations of the rules, worded as Kubernetes' own field errors.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::escape;
pub use crate::rule::Rule;

/// The type of a field error, as `field.ErrorType` in k8s.io/apimachinery. It decides the wording
/// and the machine-readable reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A required field is missing.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of the supported values.
    NotSupported,
    /// The value must be unique in its list and is not.
    Duplicate,
    /// The value refers to something that does not exist.
    NotFound,
    /// The field may not be set.
    Forbidden,
    /// The list has too many items.
    TooMany,
    /// The text is too long.
    TooLong,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The schema has no such field.
    UnknownField,
}

impl ErrorType {
    /// The `reason` of a StatusCause.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::UnknownField => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooMany => "FieldValueTooMany",
            Self::TooLong => "FieldValueTooLong",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The violated rule.
    pub rule: Rule,
    /// The type of the field error.
    pub error_type: ErrorType,
    /// The field's path, for example `spec.consumerSpec.topics[1]`.
    pub field: String,
    /// The rejected value; `None` if Kubernetes prints no value for this error type.
    pub value: Option<Value>,
    /// What is wrong and how to fix it. Empty if the error type explains it.
    pub detail: String,
    /// By how much a numeric limit is exceeded; 0 for rules without one.
    pub excess: i64,
}

impl Violation {
    /// A violation without a value and without an excess.
    pub fn new(
        rule: Rule,
        error_type: ErrorType,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { rule, error_type, field: field.into(), value: None, detail: detail.into(), excess: 0 }
    }

    /// A missing field.
    pub fn required(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Required, field, detail)
    }

    /// A value that breaks a rule.
    pub fn invalid(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::Invalid, field, detail) }
    }

    /// A value that is listed twice.
    pub fn duplicate(rule: Rule, field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::Duplicate, field, "") }
    }

    /// A reference to something that does not exist.
    pub fn not_found(rule: Rule, field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::NotFound, field, "") }
    }

    /// A value that is not one of the supported values.
    pub fn not_supported(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::NotSupported, field, detail) }
    }

    /// A field that may not be set.
    pub fn forbidden(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Forbidden, field, detail)
    }

    /// A field that an object of this kind does not have.
    pub fn unknown_field(rule: Rule, field: impl Into<String>, kind: &str) -> Self {
        Self::new(rule, ErrorType::UnknownField, field, format!("a {kind} has no such field"))
    }

    /// A list of too many items. The excess is how many.
    pub(crate) fn too_many(rule: Rule, field: impl Into<String>, count: usize, most: usize) -> Self {
        let detail = format!("must have at most {most} items");
        let violation = Self::new(rule, ErrorType::TooMany, field, detail);
        Self { value: Some(count.into()), ..violation.with_excess(above(count, most)) }
    }

    /// A text that is too long. The excess is how many bytes.
    pub(crate) fn too_long(rule: Rule, field: impl Into<String>, bytes: usize, most: usize) -> Self {
        let detail = format!("must be at most {most} bytes");
        Self::new(rule, ErrorType::TooLong, field, detail).with_excess(above(bytes, most))
    }

    /// The same violation with an excess, which the ratchet compares.
    #[must_use]
    pub fn with_excess(self, excess: i64) -> Self {
        Self { excess, ..self }
    }

    /// The message that Kubernetes prints after the field's path, fit for a terminal.
    pub fn message(&self) -> String {
        let mut message = match self.error_type {
            ErrorType::Required => "Required value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::NotFound => "Not found",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooMany => "Too many",
            ErrorType::TooLong => "Too long",
            ErrorType::UnknownField => "Unknown field",
        }
        .to_owned();
        if let Some(value) = &self.value {
            message.extend([": ", &escape::json(&value.to_string())]);
        }
        if !self.detail.is_empty() {
            message.extend([": ", &escape::line(&self.detail)]);
        }
        message
    }

    /// The field's path, fit for a terminal: it may have keys of a user's.
    pub fn shown_field(&self) -> Cow<'_, str> {
        escape::line(&self.field)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown_field(), self.message())
    }
}

fn above(count: usize, most: usize) -> i64 {
    i64::try_from(count.saturating_sub(most)).unwrap_or(i64::MAX)
}

/// The most violations that one response lists; the rest is counted.
pub const MAX_LISTED: usize = 64;

/// The violations to list, and how many more there are.
pub fn capped(violations: &[Violation]) -> (&[Violation], usize) {
    let (listed, more) = violations.split_at(violations.len().min(MAX_LISTED));
    (listed, more.len())
}

/// The most violations that [`summary`] lists.
const MAX_SUMMARY: usize = 3;
/// The most bytes of one violation in a summary: it repeats the invalid value.
const MAX_SUMMARY_ITEM: usize = 300;

/// The first violations in one line, for conditions. The text is stored with each group, so it is
/// short.
pub fn summary(violations: &[Violation]) -> String {
    let listed = violations.iter().take(MAX_SUMMARY).map(|violation| {
        let sentence = violation.to_string();
        match sentence.floor_char_boundary(MAX_SUMMARY_ITEM) {
            end if end < sentence.len() => format!("{}…", &sentence[..end]),
            _ => sentence,
        }
    });
    let mut messages: Vec<String> = listed.collect();
    if violations.len() > MAX_SUMMARY {
        messages.push("and others".to_owned());
    }
    messages.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(excess: i64) -> Violation {
        Violation::invalid(Rule::MinWithinCeiling, "spec.minReplicas", 3 + excess, "must not be more than 3")
            .with_excess(excess)
    }

    #[test]
    fn messages_are_worded_as_kubernetes_words_them() {
        assert_eq!(above(1).to_string(), "spec.minReplicas: Invalid value: 4: must not be more than 3");
        assert_eq!(
            Violation::required(Rule::Image, "spec.consumerSpec.image", "").to_string(),
            "spec.consumerSpec.image: Required value"
        );
        let blank =
            Violation::invalid(Rule::Image, "spec.consumerSpec.image", " ", "must be an image reference");
        assert_eq!(blank.message(), "Invalid value: \" \": must be an image reference");
    }

    #[test]
    fn nothing_in_a_message_is_obeyed_by_a_terminal() {
        let violation =
            Violation::invalid(Rule::Env, "spec.a[\u{202e}x]", "\u{9b}1m\u{202e}", "of\nb\u{2066}");
        assert_eq!(
            violation.to_string(),
            "spec.a[\\u{202e}x]: Invalid value: \"\\u009b1m\\u202e\": of\\u{a}b\\u{2066}"
        );
    }

    #[test]
    fn a_summary_lists_three_violations_and_cuts_long_ones() {
        let many = vec![above(1); 4];
        assert!(summary(&many[..3]).ends_with("than 3"));
        assert!(summary(&many).ends_with("than 3; and others"));
        assert_eq!(summary(&many).matches("spec.minReplicas").count(), 3);
        let long = Violation::invalid(Rule::Image, "spec.consumerSpec.image", "é".repeat(5000), "");
        assert!(summary(&[long]).len() < 310);
    }
}
