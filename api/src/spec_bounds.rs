//! The bounds on a spec, counted on its JSON before anything is typed.
//!
//! Types need much more memory than JSON: `{}` is three bytes, and a volume of kilobytes. The
//! webhook, the controller and `validate` therefore count first. Counting allocates nothing but the
//! path of the current value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::field_path;
use crate::violation::{Rule, Violation};

/// The default of `--max-spec-bytes`: bytes of a spec as compact JSON.
pub const MAX_BYTES: usize = 64 << 10;
/// The most JSON values in a spec: objects, list items and scalars.
pub const MAX_NODES: usize = 5000;
/// The most items of a list.
pub const MAX_ITEMS: usize = 100;
/// The most items of `env` and `envFrom`.
pub const MAX_ENV_ITEMS: usize = 1000;
/// How many objects and lists may be nested, the spec itself included.
pub const MAX_DEPTH: usize = 64;

/// The most long lists that are reported.
const MAX_REPORTED: usize = 8;
/// The most bytes of a key and the most segments of a path in a message.
const MAX_KEY: usize = 63;
const MAX_SEGMENTS: usize = 10;
/// Lists whose length a rule of their own checks. `[]` is any item of a list.
const OWN_RULE: [&str; 4] = [
    "spec.consumerSpec.topics",
    "spec.consumerSpec.env",
    "spec.consumerSpec.envFrom",
    "spec.metrics.additionalEndpoints",
];
/// Such lists of an endpoint.
const OWN_RULE_OF_ENDPOINT: [&str; 4] =
    ["relabelings", "relabelings[].sourceLabels", "metricRelabelings", "metricRelabelings[].sourceLabels"];

fn has_own_rule(path: &str) -> bool {
    let path = field_path::without_indices(path);
    let of_endpoint = ["spec.metrics.endpoint.", "spec.metrics.additionalEndpoints[]."]
        .iter()
        .find_map(|endpoint| path.strip_prefix(endpoint));
    OWN_RULE.contains(&path.as_str()) || of_endpoint.is_some_and(|list| OWN_RULE_OF_ENDPOINT.contains(&list))
}

/// The violations of a spec's JSON text. A text that is not JSON is counted up to its error.
pub fn check_text(spec: &str, max_bytes: usize) -> Vec<Violation> {
    check(&mut serde_json::Deserializer::from_str(spec), max_bytes)
}

/// The violations of a spec.
pub fn check_value(spec: &Value, max_bytes: usize) -> Vec<Violation> {
    check(spec, max_bytes)
}

/// Whether the violations forbid to type the spec, because that might need too much memory.
pub fn forbid_typing(violations: &[Violation]) -> bool {
    violations.iter().any(|violation| violation.rule == Rule::SpecNodes)
}

fn check<'de>(spec: impl Deserializer<'de>, max_bytes: usize) -> Vec<Violation> {
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
    /// The path, length and bound of the first long lists.
    long: Vec<(String, usize, usize)>,
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
        let long = self.long.into_iter();
        violations
            .extend(long.map(|(field, count, most)| Violation::too_many(Rule::SpecSize, field, count, most)));
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
    fn leave(&mut self, members: usize) {
        // The brackets, and the commas between the members.
        self.bytes += 2 + members.saturating_sub(1);
    }

    fn end_list(&mut self, items: usize) {
        self.leave(items);
        let most = match self.segments.last() {
            Some(Segment::Key(start)) if matches!(&self.keys[*start..], "env" | "envFrom") => MAX_ENV_ITEMS,
            _ => MAX_ITEMS,
        };
        if items > most && self.long.len() < MAX_REPORTED {
            let path = self.path();
            if !has_own_rule(&path) {
                self.long.push((path, items, most));
            }
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
        self.end_list(count);
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
        self.leave(count);
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
    use serde_json::json;

    fn words(spec: &Value) -> Vec<String> {
        let found = check_value(spec, MAX_BYTES);
        assert_eq!(found, check_text(&spec.to_string(), MAX_BYTES), "text and value count alike");
        found.iter().map(ToString::to_string).collect()
    }

    fn template(spec: &Value) -> Value {
        json!({"consumerSpec": {"podTemplate": {"spec": spec}}})
    }

    #[test]
    fn each_bound_is_refused_by_name_and_its_last_value_is_not() {
        let volumes = |count: usize| template(&json!({"volumes": vec![json!({}); count]}));
        assert_eq!(words(&volumes(100)), [""; 0]);
        assert_eq!(
            words(&volumes(101)),
            ["spec.consumerSpec.podTemplate.spec.volumes: Too many: 101: must have at most 100 items"]
        );
        let env = |count: usize| template(&json!({"containers": [{"env": vec![json!({}); count]}]}));
        assert_eq!(words(&env(1000)), [""; 0]);
        assert_eq!(
            words(&env(1001)),
            [
                "spec.consumerSpec.podTemplate.spec.containers[0].env: Too many: 1001: must have at most 1000 items"
            ]
        );
        let text = |length: usize| json!({"a": "x".repeat(length)});
        assert_eq!(words(&text(MAX_BYTES - 8)), [""; 0]);
        assert_eq!(
            words(&text(MAX_BYTES - 7)),
            ["spec: Too long: must have at most 65536 bytes as compact JSON"]
        );
        let nodes = |count: usize| json!({"a": vec![vec![0; 99]; count / 100], "b": vec![0; count % 100]});
        assert_eq!(words(&nodes(MAX_NODES - 3)), [""; 0]);
        assert_eq!(
            words(&nodes(MAX_NODES - 2)),
            ["spec: Too many: 5001: must have at most 5000 values (objects, list items and scalars)"]
        );
    }

    #[test]
    fn depth_is_counted_with_the_spec_itself() {
        let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!(words(&nested(64)), [""; 0]);
        let deep = words(&nested(65)).remove(0);
        assert_eq!(deep, "spec.a.a.a.a.a.a.a.a.a.a: Too long: must be nested at most 64 levels deep");
    }

    #[test]
    fn the_path_of_a_long_list_is_cut_and_only_some_lists_are_reported() {
        let key = "k".repeat(200);
        let spec = json!({"a": [{&key: {"b": vec![0; 101]}}]});
        assert_eq!(words(&spec)[0].split(':').next(), Some(&*format!("spec.a[0].{}.b", "k".repeat(63))));
        let lists: Vec<Value> = (0..20).map(|_| json!(vec![0; 101])).collect();
        assert_eq!(words(&json!({"a": lists})).len(), MAX_REPORTED);
    }

    #[test]
    fn a_list_with_a_rule_of_its_own_is_left_to_it() {
        assert_eq!(words(&json!({"consumerSpec": {"topics": vec!["a"; 101]}})), [""; 0]);
        let endpoint = json!({"relabelings": vec![json!({}); 101], "metricRelabelings": [{"sourceLabels": vec!["a"; 101]}]});
        let metrics = json!({"endpoint": endpoint, "additionalEndpoints": vec![json!({}); 101]});
        assert_eq!(words(&json!({"metrics": metrics})), [""; 0]);
        assert_eq!(words(&json!({"metrics": {"additionalEndpoints": [endpoint]}})), [""; 0]);
        assert_eq!(words(&json!({"metrics": {"endpoint": {"lists": vec![0; 101]}}})).len(), 1);
    }

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
