//! Labels, annotations and the selectors that go by labels, in the words of apimachinery's
//! validation.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::super::field_errors::FieldErrors;
use crate::names;

const EMPTY: &str = "must be non-empty";
const KEY_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
pub(super) const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Without a bound on its length.
fn is_name(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let has_charset = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    has_charset && is_end(text.chars().next()) && is_end(text.chars().next_back())
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

/// What is wrong with the key of a label.
pub(super) fn key_errors(key: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {EMPTY}"));
            } else if prefix.len() > names::SUBDOMAIN_LENGTH {
                errors.push(format!("prefix part {}", too_long(names::SUBDOMAIN_LENGTH)));
            } else if !names::SUBDOMAIN.matches(prefix) {
                errors.push(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {KEY_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY}"));
    } else if name.len() > names::LABEL_LENGTH {
        errors.push(format!("name part {}", too_long(names::LABEL_LENGTH)));
    }
    if !is_name(name) {
        errors.push(format!("name part {KEY_NAME}"));
    }
    errors
}

/// What is wrong with the value of a label.
pub(super) fn value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > names::LABEL_LENGTH {
        errors.push(too_long(names::LABEL_LENGTH));
    }
    if !value.is_empty() && !is_name(value) {
        errors.push(VALUE.to_owned());
    }
    errors
}

pub(super) fn key(key: &str, field: &str, errors: &mut FieldErrors<'_>) {
    for error in key_errors(key) {
        errors.invalid(field, key, &error);
    }
}

pub(super) fn value(value: &str, field: &str, errors: &mut FieldErrors<'_>) {
    for error in value_errors(value) {
        errors.invalid(field, value, &error);
    }
}

/// The labels of an object, or those that a node must have.
pub(super) fn labels(labels: Option<&BTreeMap<String, String>>, path: &str, errors: &mut FieldErrors<'_>) {
    for (name, text) in labels.into_iter().flatten() {
        key(name, path, errors);
        value(text, path, errors);
    }
}

/// The keys of annotations may have capital letters in their prefix.
pub(super) fn annotations(
    annotations: Option<&BTreeMap<String, String>>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for name in annotations.into_iter().flatten().map(|(name, _)| name) {
        for error in key_errors(&name.to_lowercase()) {
            errors.invalid(path, name.as_str(), &error);
        }
    }
}

pub(in crate::rules) fn selector(selector: Option<&LabelSelector>, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(selector) = selector else {
        return;
    };
    labels(selector.match_labels.as_ref(), &format!("{path}.matchLabels"), errors);
    for (index, wanted) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = wanted.values.as_deref().unwrap_or_default();
        operator_and_values(&wanted.operator, values, &path, errors);
        if !matches!(wanted.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist") {
            unknown_operator(&wanted.operator, &path, errors);
        }
        requirement(&wanted.key, values, &path, errors);
    }
}

/// How many values the operators that all selectors have take.
pub(super) fn operator_and_values(
    operator: &str,
    values: &[String],
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.required(format!("{path}.values"), detail);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(format!("{path}.values"), detail);
        }
        _ => {}
    }
}

pub(super) fn unknown_operator(operator: &str, path: &str, errors: &mut FieldErrors<'_>) {
    errors.invalid(format!("{path}.operator"), operator, "not a valid selector operator");
}

/// The key and the values of a requirement.
pub(super) fn requirement(name: &str, values: &[String], path: &str, errors: &mut FieldErrors<'_>) {
    key(name, &format!("{path}.key"), errors);
    for (index, text) in values.iter().enumerate() {
        value(text, &format!("{path}.values[{index}]"), errors);
    }
}
