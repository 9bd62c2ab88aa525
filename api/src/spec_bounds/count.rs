//! Counts a spec. It allocates nothing but the path of the current value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{MAX_DEPTH, MAX_NODES, Measure};
use crate::violation::{Rule, Violation};

/// The most values with a violation that are reported.
pub(super) const MAX_REPORTED: usize = 8;
/// The most bytes of a key and the most segments of a path in a message.
const MAX_KEY: usize = 63;
const MAX_SEGMENTS: usize = 10;

pub(super) fn check<'de>(spec: impl Deserializer<'de>, max_bytes: usize) -> Vec<Violation> {
    let mut count = Count::default();
    // The error is reported by whatever reads the spec.
    let _ = count.deserialize(spec);
    count.violations(max_bytes)
}

/// What was counted so far, and the path of the value that is counted now.
#[derive(Default)]
struct Count {
    nodes: usize,
    bytes: usize,
    deepest: usize,
    /// The path of the first value below [`MAX_DEPTH`].
    deep: Option<String>,
    /// The first lists, objects and texts that are too long.
    long: Vec<Violation>,
    segments: Vec<Segment>,
    /// The keys of `segments`, one after the other.
    keys: String,
}

/// One step of a path.
#[derive(Clone, Copy)]
enum Segment {
    /// A key that begins here in `keys`.
    Key(usize),
    Index(usize),
}

impl Count {
    fn violations(self, max_bytes: usize) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.nodes > MAX_NODES {
            let detail = format!("must have at most {MAX_NODES} values (objects, list items and scalars)");
            let violation = Violation::too_many(Rule::SpecNodes, "spec", self.nodes, MAX_NODES);
            violations.push(Violation { detail, ..violation });
        }
        if self.bytes > max_bytes {
            let detail = format!("must have at most {max_bytes} bytes as compact JSON");
            let violation = Violation::too_long(Rule::SpecSize, "spec", self.bytes, max_bytes);
            violations.push(Violation { detail, ..violation });
        }
        if let Some(field) = self.deep {
            let detail = format!("must be nested at most {MAX_DEPTH} levels deep");
            let violation = Violation::too_long(Rule::SpecSize, field, self.deepest, MAX_DEPTH);
            violations.push(Violation { detail, ..violation });
        }
        violations.extend(self.long);
        violations
    }

    /// A scalar of this many bytes.
    fn scalar(&mut self, bytes: usize) {
        self.nodes += 1;
        self.bytes += bytes;
    }

    /// Begins an object or a list.
    fn enter(&mut self) {
        self.nodes += 1;
        let depth = self.segments.len() + 1;
        if depth > MAX_DEPTH && self.deep.is_none() {
            self.deep = Some(self.path());
        }
        self.deepest = self.deepest.max(depth);
    }

    /// Ends an object or a list of this many members.
    fn leave(&mut self, members: usize, measure: Measure) {
        // The brackets, and the commas between the members.
        self.bytes += 2 + members.saturating_sub(1);
        self.measure(members, measure);
    }

    fn measure(&mut self, count: usize, measure: Measure) {
        if count > measure.within_all() && self.long.len() < MAX_REPORTED {
            let violation = measure.check(self.path(), count);
            self.long.extend(violation);
        }
    }

    fn path(&self) -> String {
        let mut path = "spec".to_owned();
        for (position, segment) in self.segments.iter().enumerate().take(MAX_SEGMENTS) {
            match segment {
                Segment::Index(index) => path.extend(["[", &index.to_string(), "]"]),
                Segment::Key(start) => {
                    let next = self.segments[position + 1..].iter().find_map(|segment| match segment {
                        Segment::Key(start) => Some(*start),
                        Segment::Index(_) => None,
                    });
                    let key = &self.keys[*start..next.unwrap_or(self.keys.len())];
                    let cut = key.char_indices().nth(MAX_KEY).map_or(key.len(), |(cut, _)| cut);
                    path.extend([".", &key[..cut]]);
                }
            }
        }
        path
    }
}

impl<'de> DeserializeSeed<'de> for &mut Count {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Count {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar("null".len());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true".len() } else { "false".len() });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(digits(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(usize::from(value < 0) + digits(value.unsigned_abs()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Value::from(value).to_string().len());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(json_bytes(value));
        self.measure(value.len(), Measure::Bytes);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.enter();
        let mut count = 0;
        loop {
            self.segments.push(Segment::Index(count));
            let item = items.next_element_seed(&mut *self)?;
            self.segments.pop();
            if item.is_none() {
                break;
            }
            count += 1;
        }
        self.leave(count, Measure::Items);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.enter();
        let (mut count, start) = (0, self.keys.len());
        loop {
            self.keys.truncate(start);
            let Some(bytes) = fields.next_key_seed(Key(&mut self.keys))? else { break };
            self.bytes += bytes + ":".len();
            self.segments.push(Segment::Key(start));
            fields.next_value_seed(&mut *self)?;
            self.segments.pop();
            count += 1;
        }
        self.leave(count, Measure::Fields);
        Ok(())
    }
}

/// Appends a key to the keys of the path, and counts its bytes as JSON.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<usize, E> {
        self.0.push_str(key);
        Ok(json_bytes(key))
    }
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Bytes of a text as JSON: in quotes, with its escapes.
pub fn json_bytes(text: &str) -> usize {
    // Hardly any text has an escape. Without a branch for each byte that is known at once.
    let is_escaped = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    let is_plain = text.bytes().fold(0, |escaped, byte| escaped | is_escaped(byte)) == 0;
    if is_plain {
        return 2 + text.len();
    }
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escapes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_compact_json(value in any_json()) {
            let mut count = Count::default();
            count.deserialize(&value).unwrap();
            prop_assert_eq!(count.bytes, value.to_string().len());
        }
    }
}
