//! JSON objects that have to be objects. Floor 0.
//!
//! serde reads a struct from an array as well, field by field in their order; in a protocol that is a way in that
//! nobody has thought of.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A `T` that was written as an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, fields: M) -> Result<T, M::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Whether arrays and objects of `text` stand deeper in each other than `most`. Where `text` is no JSON the answer may
/// be wrong, and the parser says so.
pub(crate) fn is_nested_deeper_than(most: usize, text: &str) -> bool {
    // Hardly any text has as many brackets at all, and to count them takes a tenth of the time.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    brackets > most && depth_exceeds(most, text)
}

fn depth_exceeds(most: usize, text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        a: &'a str,
        b: u8,
    }

    #[test]
    fn an_array_is_no_object() {
        let Mapping(pair): Mapping<Pair<'_>> = serde_json::from_str(r#"{"a":"x","b":1}"#).unwrap();
        assert_eq!((pair.a, pair.b), ("x", 1));
        let refused = serde_json::from_str::<Mapping<Pair<'_>>>(r#"["x",1]"#).unwrap_err();
        assert!(refused.to_string().starts_with("invalid type: sequence, expected an object"), "{refused}");
    }

    #[test]
    fn depth_is_that_of_brackets_outside_of_strings() {
        assert!(!is_nested_deeper_than(3, r#"[{"a":[]},{"b":"[[[[\"[[[["}]"#));
        assert!(is_nested_deeper_than(2, r#"[{"a":[]}]"#));
        assert!(!is_nested_deeper_than(2, r#"[{"a\\":1},{}]"#));
    }
}
