//! JSON documents, one after the other, with the lines on which they begin. A key that occurs twice is
//! an error, as in YAML: otherwise the first value would be lost.

use std::fmt;

use kcg_api::yaml_error::YamlError;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Located;

/// The documents of a text that is JSON; `None` if it is not.
pub(super) fn documents(text: &str) -> Option<Vec<Result<Located, YamlError>>> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let mut located = Vec::new();
    let (mut line, mut counted) = (1, 0);
    loop {
        let rest = &text[documents.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        line += text[counted..start].matches('\n').count() as u64;
        counted = start;
        match documents.next() {
            None => return Some(located),
            Some(Ok(Unique(value))) => located.push(Ok(Located { line, value })),
            Some(Err(error)) if error.is_data() => {
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
                let place = Some((error.line() as u64, error.column() as u64));
                located.push(Err(YamlError { place, message: message.to_owned() }));
                return Some(located);
            }
            Some(Err(_)) => return None,
        }
    }
}

/// A value in which no key occurs twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(M::Error::custom(YamlError::duplicate_key(&key)));
            }
            let Unique(value) = map.next_value()?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Value, S::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}
