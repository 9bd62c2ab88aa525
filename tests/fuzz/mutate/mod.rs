//! Random changes of an input: of its bytes, of its lines, and of the values of its JSON or YAML.

mod bytes;
mod text;
mod value;
mod words;

use fastrand::Rng;
use serde_json::Value;

pub use text::yaml;
pub use value::{Place, change, grown, nodes, nth_mut};

/// How an input is changed, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    /// Lines without a structure.
    Text,
}

impl Format {
    /// The value that the input stands for, if it has this format.
    pub fn parse(self, input: &[u8]) -> Option<Value> {
        match self {
            Self::Json => serde_json::from_slice(input).ok(),
            Self::Yaml => text::parse(std::str::from_utf8(input).ok()?),
            Self::Text => None,
        }
    }

    /// The value in this format. A key that the changes made twice occurs twice.
    pub fn print(self, value: &Value, random: &mut Rng) -> Vec<u8> {
        let json = || value::with_double_keys(value.to_string());
        match self {
            // JSON is YAML.
            Self::Yaml if random.bool() => yaml(value).unwrap_or_else(json).into_bytes(),
            _ => json().into_bytes(),
        }
    }
}

/// The seed with a few changes, at most `largest` bytes. `other` is an input to take parts from.
pub fn mutate(seed: &[u8], other: &[u8], format: Format, random: &mut Rng, largest: usize) -> Vec<u8> {
    let structure = if random.u8(..10) < 7 { format.parse(seed) } else { None };
    let changed = match structure {
        Some(mut value) => {
            let other = if random.u8(..4) == 0 { format.parse(other) } else { None };
            let mut place = Place::default();
            for _ in 0..random.usize(1..=4) {
                change(&mut value, other.as_ref(), &mut place, random);
            }
            format.print(&value, random)
        }
        None if format == Format::Yaml && random.u8(..10) < 7 => text::change(seed, random),
        None => (0..random.usize(1..=4)).fold(seed.to_vec(), |input, _| bytes::change(input, other, random)),
    };
    if changed.len() <= largest { changed } else { bytes::change(seed.to_vec(), &[], random) }
}
