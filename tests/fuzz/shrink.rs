//! Makes an input smaller while something stays true of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::mutate::{Format, nodes, nth_mut, yaml};

/// The smallest input that was found for which `holds`.
pub fn shrink(input: &Arc<[u8]>, format: Format, holds: impl Fn(Vec<u8>) -> bool) -> Arc<[u8]> {
    let smaller = match format.parse(input) {
        Some(value) => in_value(value, format, &holds),
        None => None,
    };
    in_bytes(smaller.unwrap_or_else(|| input.to_vec()), &holds).into()
}

fn print(value: &Value, format: Format) -> Vec<u8> {
    let yaml = if format == Format::Yaml { yaml(value) } else { None };
    yaml.unwrap_or_else(|| value.to_string()).into_bytes()
}

/// Drops halves of lists, objects and texts, and then less.
fn in_value(mut value: Value, format: Format, holds: &impl Fn(Vec<u8>) -> bool) -> Option<Vec<u8>> {
    if !holds(print(&value, format)) {
        return None;
    }
    let mut part = 1;
    while part <= 16 {
        let (mut at, mut is_smaller) = (0, false);
        while at < nodes(&value) {
            for piece in 0..part {
                let mut tried = value.clone();
                let has_less =
                    nth_mut(&mut tried, &mut { at }).is_some_and(|node| drop_piece(node, piece, part));
                if has_less && holds(print(&tried, format)) {
                    (value, is_smaller) = (tried, true);
                    break;
                }
            }
            at += 1;
        }
        if !is_smaller {
            part *= 2;
        }
    }
    Some(print(&value, format))
}

/// Removes one of so many pieces of a value; false if it has none.
fn drop_piece(value: &mut Value, piece: usize, parts: usize) -> bool {
    let range = |len: usize| {
        let (from, to) = (len * piece / parts, len * (piece + 1) / parts);
        (from < to).then_some(from..to)
    };
    match value {
        Value::Array(items) => range(items.len()).map(|range| drop(items.drain(range))).is_some(),
        Value::Object(fields) => {
            let Some(range) = range(fields.len()) else { return false };
            let kept = std::mem::take(fields).into_iter().enumerate();
            *fields =
                kept.filter(|(at, _)| !range.contains(at)).map(|(_, field)| field).collect::<Map<_, _>>();
            true
        }
        Value::String(text) => {
            let Some(range) = range(text.len()) else { return false };
            let is_whole = text.is_char_boundary(range.start) && text.is_char_boundary(range.end);
            if is_whole {
                text.replace_range(range, "");
            }
            is_whole
        }
        _ => false,
    }
}

fn in_bytes(mut input: Vec<u8>, holds: &impl Fn(Vec<u8>) -> bool) -> Vec<u8> {
    let mut size = input.len() / 2;
    while size > 0 && size * 64 > input.len() {
        let mut from = 0;
        while from + size <= input.len() {
            let mut tried = input.clone();
            tried.drain(from..from + size);
            if holds(tried.clone()) {
                input = tried;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    input
}
