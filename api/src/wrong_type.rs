//! Values of wrong types, in the words of the API server's schema validation instead of a parser's.

use serde_json::Value;

use crate::violation::{ErrorType, Rule, Violation};

/// The violation of a value at `field` that a parser refused with `message`.
pub(crate) fn violation(rule: Rule, field: String, value: Value, message: &str) -> Violation {
    if let Some(missing) = between(message, "missing field `", "`") {
        let dot = if field.is_empty() { "" } else { "." };
        return Violation::required(rule, format!("{field}{dot}{missing}"), "");
    }
    if message.starts_with("unknown variant ") {
        return Violation::not_supported(rule, field, value, &supported(message));
    }
    let detail = detail(message, &value);
    Violation { value: Some(value), ..Violation::new(rule, ErrorType::TypeInvalid, field, detail) }
}

/// What is wrong with a value.
fn detail(message: &str, value: &Value) -> String {
    let Some((_, expected)) =
        message.strip_prefix("invalid ").and_then(|rest| rest.rsplit_once(", expected "))
    else {
        return message.to_owned();
    };
    match range(expected) {
        Some((least, most)) if is_whole(value) => format!("must be between {least} and {most}, inclusive"),
        _ => format!("must be of type {}, not {}", type_named(expected), type_of(value)),
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// The bounds of a parser's integer.
fn range(expected: &str) -> Option<(i64, u64)> {
    Some(match expected {
        "i32" => (i32::MIN.into(), u64::from(i32::MAX.unsigned_abs())),
        "i64" => (i64::MIN, i64::MAX.unsigned_abs()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" => (0, u64::MAX),
        _ => return None,
    })
}

/// The schema's name of what a parser expected.
pub(crate) fn type_named(expected: &str) -> &str {
    match expected {
        _ if range(expected).is_some() => "integer",
        "f32" | "f64" | "finite floating-point value" => "number",
        "bool" | "boolean" | "a boolean" => "boolean",
        "a string" | "string" | "string scalar" | "a borrowed string" | "string or map"
        | "variant identifier" | "Time" | "MicroTime" => "string",
        "a sequence" | "a list" | "sequence start" => "array",
        "a map" | "an object" | "mapping start" => "object",
        "IntOrString" => "integer or string",
        "Quantity" => "string or number",
        // The name of a struct.
        expected if expected.starts_with("struct ") || expected.starts_with(char::is_uppercase) => "object",
        expected => expected,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The variants in "unknown variant `a`, expected one of `b`, `c`".
fn supported(message: &str) -> Vec<&str> {
    let listed = message.rsplit_once(", expected ").map_or("", |(_, listed)| listed);
    listed.split('`').skip(1).step_by(2).collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split_once(end).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parser_s_words_become_those_of_the_api_server() {
        for (value, message, words) in [
            (
                json!("x"),
                "invalid type: string \"x\", expected i32",
                "Invalid value: \"x\": must be of type integer, not string",
            ),
            (
                json!(", expected y"),
                "invalid type: string \", expected y\", expected a boolean",
                "Invalid value: \", expected y\": must be of type boolean, not string",
            ),
            (
                json!(2_147_483_648_u64),
                "invalid value: integer `2147483648`, expected i32",
                "Invalid value: 2147483648: must be between -2147483648 and 2147483647, inclusive",
            ),
            (
                json!(1.5),
                "invalid type: floating point `1.5`, expected i64",
                "Invalid value: 1.5: must be of type integer, not number",
            ),
            (
                json!([]),
                "invalid type: sequence, expected PodSpec",
                "Invalid value: []: must be of type object, not array",
            ),
            (
                json!({}),
                "invalid type: map, expected a sequence",
                "Invalid value: {}: must be of type array, not object",
            ),
            (
                json!([]),
                "invalid type: sequence, expected Quantity",
                "Invalid value: []: must be of type string or number, not array",
            ),
            (
                json!("Min"),
                "unknown variant `Min`, expected `Sum` or `Max`",
                "Unsupported value: \"Min\": supported values: \"Sum\", \"Max\"",
            ),
            (json!("x"), "it is odd", "Invalid value: \"x\": it is odd"),
        ] {
            assert_eq!(violation(Rule::Type, "a".to_owned(), value, message).message(), words);
        }
        let missing = violation(Rule::Type, "a".to_owned(), json!({}), "missing field `port`");
        assert_eq!(missing.to_string(), "a.port: Required value");
    }
}
