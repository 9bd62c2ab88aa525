//! Changes of a JSON value that keep it JSON.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::words;

/// Marks a key that is written as the text after it, so that it occurs twice.
const DOUBLE: &str = "\u{1}double:";
/// The deepest nesting that one input gets more. serde_json reads 127 levels.
const MAX_NESTED: usize = 120;

/// The most bytes that one change adds.
const MAX_ADDED: usize = 1 << 20;

/// How often something of so many bytes may be repeated.
fn times(wanted: usize, bytes: usize) -> usize {
    wanted.min(MAX_ADDED / (bytes + 1))
}

/// About the bytes of a value as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| key.len() + 4 + weight(field)).sum::<usize>() + 2
        }
        Value::Array(items) => items.iter().map(|item| 1 + weight(item)).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        _ => 4,
    }
}

/// What happened to an input already.
#[derive(Debug, Default)]
pub struct Place {
    /// It was nested once; more often, the recursion of this search itself would need too much stack.
    is_nested: bool,
}

/// Makes double keys of the marked ones.
pub fn with_double_keys(json: String) -> String {
    if json.contains("\\u0001double:") { json.replace("\\u0001double:", "") } else { json }
}

/// Changes one random part of the value. `other` is a value to take parts from.
pub fn change(value: &mut Value, other: Option<&Value>, place: &mut Place, random: &mut Rng) {
    let count = nodes(value);
    let (mut at, mut from) = (random.usize(..count), random.usize(..count));
    let source = match other {
        Some(other) => nth(other, &mut random.usize(..nodes(other))).cloned(),
        None => nth(value, &mut from).cloned(),
    };
    let Some(target) = nth_mut(value, &mut at) else { return };
    match random.u8(..12) {
        0 => *target = words::scalar(random),
        1 | 2 => *target = source.unwrap_or_default(),
        3 if !place.is_nested => {
            place.is_nested = true;
            let (key, times) = (words::field(random).0, random.usize(1..MAX_NESTED));
            let is_list = random.bool();
            *target = (0..times).fold(target.take(), |inner, _| {
                if is_list { json!([inner]) } else { Value::Object(Map::from_iter([(key.clone(), inner)])) }
            });
        }
        4 => *target = words::field(random).1,
        _ => within(target, source, random),
    }
}

/// Changes what the value contains.
fn within(target: &mut Value, source: Option<Value>, random: &mut Rng) {
    match target {
        Value::Object(fields) => fields_of(fields, source, random),
        Value::Array(items) => items_of(items, source, random),
        Value::String(text) => text_of(text, random),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            *target = match random.u8(..4) {
                0 => json!(number.wrapping_add(1)),
                1 => json!(number.wrapping_sub(1)),
                2 => json!(number.wrapping_mul(1 << random.u8(..62))),
                _ => json!(number.to_string()),
            };
        }
        other => *other = source.unwrap_or_else(|| words::scalar(random)),
    }
}

fn fields_of(fields: &mut Map<String, Value>, source: Option<Value>, random: &mut Rng) {
    let key =
        (!fields.is_empty()).then(|| fields.keys().nth(random.usize(..fields.len())).cloned()).flatten();
    match (random.u8(..8), key) {
        (0, Some(key)) => drop(fields.remove(&key)),
        (1, Some(key)) => {
            let held = fields.remove(&key).unwrap_or_default();
            fields.insert(words::text(random), held);
        }
        (2, Some(key)) => {
            let held = fields[&key].clone();
            fields.insert(format!("{DOUBLE}{key}"), held);
        }
        (3, Some(key)) => {
            let held = fields[&key].clone();
            for index in 0..times(1 << random.u8(..11), key.len() + weight(&held)) {
                fields.insert(format!("{key}{index}"), held.clone());
            }
        }
        (4, Some(key)) => fields[&key] = source.unwrap_or_default(),
        _ => {
            let (key, value) = words::field(random);
            fields.insert(key, value);
        }
    }
}

fn items_of(items: &mut Vec<Value>, source: Option<Value>, random: &mut Rng) {
    if items.is_empty() {
        return items.push(source.unwrap_or_default());
    }
    let at = random.usize(..items.len());
    match random.u8(..8) {
        0 => drop(items.remove(at)),
        1 => items.truncate(at + 1),
        2 => items.insert(at, source.unwrap_or_default()),
        3 => items.swap(0, at),
        _ => repeat(items, at, 1 << random.u8(..11), random.u8(..4) > 0),
    }
}

/// Appends copies of an item. Lists of Kubernetes have names that must differ.
fn repeat(items: &mut Vec<Value>, at: usize, times: usize, with_names: bool) {
    let from = items.len();
    for index in 0..self::times(times, weight(&items[at])) {
        let mut item = items[at].clone();
        if with_names {
            match &mut item {
                Value::Object(fields) => {
                    if let Some(Value::String(name)) = fields.get_mut("name") {
                        *name = format!(
                            "{}{}",
                            name.trim_end_matches(|c: char| c.is_ascii_digit()),
                            from + index
                        );
                    }
                }
                Value::String(text) => text.push_str(&index.to_string()),
                _ => {}
            }
        }
        items.push(item);
    }
}

fn text_of(text: &mut String, random: &mut Rng) {
    let mut at = random.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match random.u8(..6) {
        0 => *text = words::text(random),
        1 => text.truncate(at),
        2 => *text = text.repeat(times(1 << random.u8(..13), text.len())),
        3 => *text = text[at..].to_owned(),
        4 => text.push_str(words::word(random)),
        _ => text.insert_str(at, &words::text(random)),
    }
}

/// The value with its largest list, its largest object or its longest text so many times as large.
pub fn grown(value: &Value, times: usize) -> Vec<Value> {
    let mut largest = [(0, 0); 3];
    measure(value, &mut 0, &mut largest);
    let grow = |(size, at): (usize, usize)| {
        if size == 0 {
            return None;
        }
        let mut value = value.clone();
        match nth_mut(&mut value, &mut { at })? {
            Value::Array(items) => {
                for at in 0..items.len() {
                    repeat(items, at, times - 1, true);
                }
            }
            Value::Object(fields) => {
                for (key, held) in fields.clone() {
                    fields.extend((1..times).map(|index| (format!("{key}{index}"), held.clone())));
                }
            }
            Value::String(text) => *text = text.repeat(times),
            _ => return None,
        }
        Some(value)
    };
    largest.into_iter().filter_map(grow).collect()
}

/// The sizes and places of the largest list, object and text.
fn measure(value: &Value, at: &mut usize, largest: &mut [(usize, usize); 3]) {
    let (kind, size) = match value {
        Value::Array(items) => (0, items.len()),
        Value::Object(fields) => (1, fields.len()),
        Value::String(text) => (2, text.len()),
        _ => (0, 0),
    };
    if size > largest[kind].0 {
        largest[kind] = (size, *at);
    }
    *at += 1;
    children(value).for_each(|child| measure(child, at, largest));
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(fields) => Box::new(fields.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

/// How many values there are in a value, itself included.
pub fn nodes(value: &Value) -> usize {
    1 + children(value).map(nodes).sum::<usize>()
}

fn nth<'a>(value: &'a Value, at: &mut usize) -> Option<&'a Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    children(value).find_map(|child| nth(child, at))
}

/// The value at this place, in the order of [`nodes`].
pub fn nth_mut<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().find_map(|child| nth_mut(child, at)),
        Value::Array(items) => items.iter_mut().find_map(|child| nth_mut(child, at)),
        _ => None,
    }
}
