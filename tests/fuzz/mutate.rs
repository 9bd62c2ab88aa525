//! Random changes of bytes, and of the structure of JSON.

use fastrand::Rng;
use serde_json::{Value, json};

/// Characters that parsers and printers treat in a way of their own.
const TEXTS: [&str; 10] = [
    "",
    "\u{0}",
    "\u{1}",
    "\"\\",
    "\u{202e}",
    "\u{1f600}",
    "$(A)",
    "{{x}}",
    "-----BEGIN CERTIFICATE-----",
    "a/b",
];

/// The seed with one to four changes, at most `largest` bytes.
pub fn mutate(seed: &[u8], random: &mut Rng, largest: usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..=4) {
        let json = serde_json::from_slice(&bytes).ok();
        let changed = match json {
            Some(value) if random.u8(..10) < 8 => {
                let mut value: Value = value;
                change(&mut value, random);
                value.to_string().into_bytes()
            }
            _ => flip(bytes.clone(), random),
        };
        if changed.len() <= largest {
            bytes = changed;
        }
    }
    bytes
}

/// Changes bytes without regard to what they mean.
fn flip(mut bytes: Vec<u8>, random: &mut Rng) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![random.u8(..)];
    }
    let at = random.usize(..bytes.len());
    let to = random.usize(at..=bytes.len().min(at + 200));
    match random.u8(..5) {
        0 => bytes[at] = random.u8(..),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..to)),
        3 => {
            let piece = bytes[at..to].repeat(1 << random.u8(..8));
            bytes.splice(at..at, piece);
        }
        _ => {
            let text = TEXTS[random.usize(..TEXTS.len())];
            bytes.splice(at..at, text.bytes());
        }
    }
    bytes
}

/// Changes one random value.
fn change(value: &mut Value, random: &mut Rng) {
    let down = random.u8(..8) > 0;
    match value {
        Value::Object(fields) if down && !fields.is_empty() => {
            let key = fields.keys().nth(random.usize(..fields.len())).unwrap().clone();
            match random.u8(..20) {
                0 => drop(fields.remove(&key)),
                1 => {
                    let held = fields[&key].clone();
                    fields.insert(text(random), held);
                }
                _ => change(&mut fields[&key], random),
            }
        }
        Value::Array(items) if down && !items.is_empty() => {
            let at = random.usize(..items.len());
            match random.u8(..10) {
                0 => drop(items.remove(at)),
                1 | 2 => {
                    let item = items[at].clone();
                    items.extend(std::iter::repeat_n(item, 1 << random.u8(..10)));
                }
                _ => change(&mut items[at], random),
            }
        }
        other => *other = replacement(other, random),
    }
}

fn replacement(value: &Value, random: &mut Rng) -> Value {
    match random.u8(..12) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(1e300),
        4 => json!(i64::from(i32::MAX) + i64::from(random.u8(..2))),
        5 => json!(-1),
        6 => json!({}),
        7 => json!([{}]),
        8 => (0..random.usize(..100)).fold(value.clone(), |inner, _| json!([inner])),
        9 => (0..random.usize(..100)).fold(value.clone(), |inner, _| json!({"a": inner})),
        10 => Value::Object((0..random.usize(..500)).map(|key| (key.to_string(), value.clone())).collect()),
        _ => json!(text(random)),
    }
}

fn text(random: &mut Rng) -> String {
    TEXTS[random.usize(..TEXTS.len())].repeat(1 << random.u8(..12))
}
