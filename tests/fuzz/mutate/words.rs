//! Texts, names and values that mean something to what is searched.

use std::sync::LazyLock;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::seeds;

/// Texts that parsers and printers treat in a way of their own.
const TEXTS: [&str; 32] = [
    "",
    "\u{0}",
    "\u{1}",
    "\"\\",
    "\\",
    "'",
    "\u{202e}",
    "\u{1f600}",
    "\u{feff}",
    "\n",
    "\r\n---\n",
    "$(A)",
    "$0",
    "${1}",
    "{{x}}",
    "{{",
    "}\"} or vector(1) #",
    "a/b",
    "0755",
    "1e999",
    "100m",
    "8E",
    "5s",
    "1d2h",
    "[^a]{1000}",
    "(a|b)",
    "(((a{10}){10}){10})",
    "a-b.c",
    "*",
    "-----BEGIN CERTIFICATE-----",
    "thenextapps.com/v1alpha1",
    "null",
];

/// The names of fields, with a value that each of them can have.
static FIELDS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let mut fields = Vec::new();
    for group in seeds::groups() {
        collect(&group, &mut fields);
    }
    let crd = serde_json::to_value(kcg_api::crd::crd()).unwrap();
    schema_fields(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut fields);
    fields
});

fn collect(value: &Value, fields: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                fields.push((key.clone(), member.clone()));
                collect(member, fields);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        _ => {}
    }
}

fn schema_fields(schema: &Value, fields: &mut Vec<(String, Value)>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let value = match schema["type"].as_str() {
            Some("object") => json!({}),
            Some("array") => json!([{}]),
            Some("integer") => json!(1),
            Some("boolean") => json!(true),
            _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("a")),
        };
        fields.push((name.clone(), value));
        schema_fields(schema, fields);
        schema_fields(&schema["items"], fields);
    }
}

/// A field that something in a group has.
pub fn field(random: &mut Rng) -> (String, Value) {
    let fields = &*FIELDS;
    fields[random.usize(..fields.len())].clone()
}

pub fn word(random: &mut Rng) -> &'static str {
    TEXTS[random.usize(..TEXTS.len())]
}

/// One of the words, or many times.
pub fn text(random: &mut Rng) -> String {
    let times = if random.bool() { 1 } else { 1 << random.u8(..12) };
    word(random).repeat(times)
}

/// A value that is not like the one before.
pub fn scalar(random: &mut Rng) -> Value {
    match random.u8(..12) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(1e300),
        4 => json!(i64::from(i32::MAX) + i64::from(random.u8(..2))),
        5 => json!(u64::MAX),
        6 => json!(-1),
        7 => json!(0),
        8 => json!(0.1),
        9 => json!({}),
        10 => json!([]),
        _ => json!(text(random)),
    }
}
