//! The bounds on lists, maps and texts that have no narrower one: those by which the webhook and the
//! controller count a spec.

use serde_json::{Value, json};

use crate::names;
use crate::spec_bounds::{most_bytes, most_fields, most_items};

/// Gives each list, map and text in a schema its bound. `path` is as in [`crate::spec_bounds`], with
/// `{}` for any key of a map.
pub(super) fn fill_in(schema: &mut Value, path: &str) {
    let is_map = schema["additionalProperties"].is_object();
    let bound = match schema["type"].as_str() {
        Some("array") => Some(("maxItems", most_items(path))),
        Some("object") if is_map => Some(("maxProperties", most_fields(path))),
        Some("string") if schema["enum"].is_null() => most_bytes(path).map(|most| ("maxLength", most)),
        None if schema["x-kubernetes-int-or-string"] == true => Some(("maxLength", names::QUANTITY.length)),
        _ => None,
    };
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some((keyword, most)) = bound {
        schema.entry(keyword).or_insert_with(|| json!(most));
    }
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        fill_in(property, &format!("{path}.{name}"));
    }
    for (keyword, step) in [("items", "[]"), ("additionalProperties", ".{}")] {
        if let Some(inner) = schema.get_mut(keyword) {
            fill_in(inner, &format!("{path}{step}"));
        }
    }
}
