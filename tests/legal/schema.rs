//! Random values that a JSON schema allows.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Map, Number, Value, json};

use crate::known;

/// Texts that parsers and printers treat in a way of their own.
const ODD: [&str; 12] = [
    "",
    " ",
    "-",
    "a b",
    "$(A)",
    "{{ .Values }}",
    "\"\\'",
    "a\nb",
    "\u{202e}x",
    "\u{1f600}",
    "<a&b>",
    "../..",
];
/// How many items a list, and entries a map, has at most. Larger ones are the fuzz target's.
const MOST: usize = 3;

/// Makes values of schemas.
pub struct Maker<'a> {
    pub random: Rng,
    /// The name of the group.
    pub name: String,
    /// What `$ref` refers to.
    pub definitions: &'a Value,
    /// Of a hundred optional fields, how many are set.
    pub density: u8,
    /// Of a hundred values, how many follow the schema alone, and not what people write there.
    pub wild: u8,
    /// The fields that lead to the value that is made: `[]` is an item of a list, `{}` a value of a map.
    place: Vec<&'a str>,
}

impl<'a> Maker<'a> {
    pub fn new(random: Rng, name: &str, definitions: &'a Value) -> Self {
        Self { random, name: name.to_owned(), definitions, density: 10, wild: 0, place: Vec::new() }
    }

    /// Whether a thing with this chance in a hundred happens.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.random.u8(..100) < percent
    }

    /// A value of the field at `place`.
    pub fn at(&mut self, place: &[&'a str], schema: &'a Value) -> Value {
        let outer = std::mem::replace(&mut self.place, place.to_vec());
        let made = self.value(schema);
        self.place = outer;
        made
    }

    fn value(&mut self, schema: &'a Value) -> Value {
        let wild = self.wild;
        let place = self.place.clone();
        if !self.chance(wild)
            && let Some(known) = known::value(self, &place)
        {
            return known;
        }
        let schema = self.resolved(schema);
        if let Some(choices) = schema["enum"].as_array() {
            return self.random.choice(choices).cloned().unwrap_or_default();
        }
        if schema["x-kubernetes-int-or-string"] == true || schema["format"] == "int-or-string" {
            return if self.random.bool() { json!(self.random.i32(0..200)) } else { self.text(schema) };
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap_or(&Value::Null),
            kind => kind,
        };
        match kind.as_str() {
            Some("object") if schema["properties"].is_object() => self.object(schema),
            Some("object") if schema["additionalProperties"].is_object() => self.map(schema),
            Some("array") => self.list(schema),
            Some("boolean") => json!(self.random.bool()),
            Some("integer") => self.integer(schema),
            Some("number") => json!(self.random.i32(-1..100)),
            Some("string") => self.text(schema),
            _ => json!({}),
        }
    }

    /// The schema itself, without references and alternatives.
    fn resolved(&mut self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            let inner = &self.definitions[name];
            return self.resolved(inner);
        }
        let several = ["allOf", "anyOf", "oneOf"].into_iter().find_map(|key| schema[key].as_array());
        let is_typed = !schema["type"].is_null() || schema["x-kubernetes-int-or-string"] == true;
        match several {
            Some(several) if !is_typed => {
                let real: Vec<&Value> = several.iter().filter(|one| one["type"] != "null").collect();
                let chosen = self.random.choice(real).unwrap_or(schema);
                self.resolved(chosen)
            }
            _ => schema,
        }
    }

    fn object(&mut self, schema: &'a Value) -> Value {
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let density = self.density;
            if required.contains(name.as_str()) || self.chance(density) {
                let value = self.below(name, field);
                fields.insert(name.clone(), value);
            }
        }
        Value::Object(fields)
    }

    fn below(&mut self, step: &'a str, schema: &'a Value) -> Value {
        self.place.push(step);
        let value = self.value(schema);
        self.place.pop();
        value
    }

    fn map(&mut self, schema: &'a Value) -> Value {
        let mut entries = Map::new();
        for _ in 0..self.random.usize(..=MOST) {
            let (wild, place) = (self.wild, self.place.clone());
            let key = if self.chance(wild) { None } else { known::key(self, &place) };
            let key = key.unwrap_or_else(|| self.letters());
            let value = self.below("{}", &schema["additionalProperties"]);
            entries.insert(key, value);
        }
        Value::Object(entries)
    }

    /// Lists that Kubernetes takes for sets and maps have no duplicates, whatever else they have.
    fn list(&mut self, schema: &'a Value) -> Value {
        let key = schema["x-kubernetes-list-map-keys"][0].as_str();
        let is_set = schema["x-kubernetes-list-type"] == "set";
        let least = schema["minItems"].as_u64().and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..self.random.usize(least..=MOST.max(least)) {
            let item = self.below("[]", &schema["items"]);
            let is_known = items.iter().any(|other| match key {
                Some(key) => other[key] == item[key],
                None => is_set && *other == item,
            });
            if !is_known {
                items.push(item);
            }
        }
        Value::Array(items)
    }

    /// Often a bound, or close to one.
    fn integer(&mut self, schema: &Value) -> Value {
        let is_long = schema["format"] == "int64";
        let bound = |name: &str| schema[name].as_f64().and_then(|bound| Number::from_f64(bound)?.as_f64());
        #[allow(clippy::cast_possible_truncation, reason = "bounds of schemas are small")]
        let least = bound("minimum").map_or(-1, |least| least as i64);
        let most = bound("maximum");
        #[allow(clippy::cast_possible_truncation, reason = "bounds of schemas are small")]
        let most = most.map_or(if is_long { i64::MAX } else { i64::from(i32::MAX) }, |most| most as i64);
        let small = least.saturating_add(20).min(most);
        json!(match self.random.u8(..10) {
            0 => most,
            1 => least,
            2 => self.random.i64(least..=most),
            _ => self.random.i64(least..=small),
        })
    }

    fn text(&mut self, schema: &Value) -> Value {
        let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
        let mut text = match self.random.u8(..10) {
            0..=3 => (*self.random.choice(&ODD).unwrap_or(&"")).to_owned(),
            4 => "a".repeat(most.unwrap_or(300).min(5000)),
            _ => self.letters(),
        };
        if let Some(most) = most {
            text = text.chars().take(most).collect();
        }
        json!(text)
    }

    fn letters(&mut self) -> String {
        (0..self.random.usize(1..12)).map(|_| self.random.alphanumeric().to_ascii_lowercase()).collect()
    }
}
