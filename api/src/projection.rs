//! A few fields of an object, read without the memory for the rest of it. A parsed JSON value needs up
//! to a hundred times the memory of its text, and others write most of an object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most bytes that are kept of a text; the end of a longer one is cut off.
pub const MAX_TEXT: usize = 4096;
/// The most items that are kept of a list.
pub const MAX_ITEMS: usize = 100;

/// What is kept of a JSON value. As a seed it returns the kept part as a value; of a value that has
/// another shape it keeps null. Its depth bounds that of the recursion.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// A scalar. Of an object or a list it keeps an empty one.
    Scalar,
    /// These fields of an object.
    Fields(&'static [(&'static str, Self)]),
    /// The first [`MAX_ITEMS`] items of a list.
    Items(&'static Self),
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Keep {
    fn scalar(self, value: impl Into<Value>) -> Value {
        if matches!(self, Self::Scalar) { value.into() } else { Value::Null }
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(self.scalar(&value[..value.floor_char_boundary(MAX_TEXT)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        if let Self::Items(item) = self {
            while kept.len() < MAX_ITEMS {
                let Some(value) = items.next_element_seed(*item)? else { break };
                kept.push(value);
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(if matches!(self, Self::Fields(_)) { Value::Null } else { Value::Array(kept) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let known: &[_] = if let Self::Fields(known) = self { known } else { &[] };
        let mut kept = Map::new();
        while let Some(field) = fields.next_key_seed(Field(known))? {
            if let Some((name, keep)) = field {
                kept.insert(name.to_owned(), fields.next_value_seed(keep)?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(if matches!(self, Self::Items(_)) { Value::Null } else { Value::Object(kept) })
    }
}

/// Finds the field of a key.
struct Field(&'static [(&'static str, Keep)]);

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Option<(&'static str, Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Field {
    type Value = Option<(&'static str, Keep)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(name, _)| *name == key).copied())
    }
}

/// How many values a JSON text has at most: objects, lists and scalars. It reads the text without
/// allocating, and a text that is not JSON to its end.
pub fn most_values(text: &str) -> usize {
    let (mut in_string, mut escaped, mut values) = (false, false, 1);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' | b',' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: Keep = Keep::Fields(&[("name", Keep::Scalar)]);
    const ITEM: Keep = Keep::Fields(&[("type", Keep::Scalar)]);
    const OBJECT: Keep =
        Keep::Fields(&[("metadata", NAME), ("size", Keep::Scalar), ("conditions", Keep::Items(&ITEM))]);

    fn kept(text: &str) -> Value {
        OBJECT.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn only_the_named_fields_are_kept() {
        let text = r#"{"metadata":{"name":"a","uid":"u"},"size":3,"spec":{"a":[{"":0}]},
            "conditions":[{"type":"Ready","status":"True"},7]}"#;
        let want = json!({"metadata": {"name": "a"}, "size": 3, "conditions": [{"type": "Ready"}, null]});
        assert_eq!(kept(text), want);
    }

    #[test]
    fn a_value_of_another_shape_costs_nothing_and_is_no_error() {
        let text = r#"{"metadata":[{"":0}],"size":[{"":0},[1]],"conditions":{"a":{}}}"#;
        assert_eq!(kept(text), json!({"metadata": null, "size": [], "conditions": null}));
        assert_eq!(kept(r#"{"size":{"a":1},"metadata":7}"#), json!({"size": {}, "metadata": null}));
        assert_eq!(kept("[[]]"), Value::Null);
    }

    #[test]
    fn texts_lists_and_depth_have_bounds() {
        let conditions = vec![json!({"type": "ü".repeat(MAX_TEXT)}); 3 * MAX_ITEMS];
        let kept_conditions = &kept(&json!({ "conditions": conditions }).to_string())["conditions"];
        assert_eq!(kept_conditions.as_array().unwrap().len(), MAX_ITEMS);
        assert_eq!(kept_conditions[0]["type"].as_str().unwrap().len(), MAX_TEXT);
        let deep = format!(r#"{{"spec":{}{},"size":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(kept(&deep), json!({"size": 1}));
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (text, most) in [("7", 1), (r#"{"a,[{\"":"\\"}"#, 2), (r#"[{"":0},{"":0}]"#, 5)] {
            assert_eq!(most_values(text), most, "{text}");
        }
    }
}
