//! The file of an installation's defaults as text: it is strict, so that a misspelt key does not pass for a default that is in force.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_path_to_error::{Path, Track};
use serde_saphyr::{Location, Spanned};

use crate::escape;
use crate::field_path;
use crate::group::KconsumerGroupSpec;
use crate::group_defaults::GroupDefaults;
use crate::parse::{MAX_TYPE_ERRORS, Removed};
use crate::rule_input::{RuleInput, TopicGrants};
use crate::rules;
use crate::strict_object::StrictObject;
use crate::violation::{Rule, Violation};
use crate::yaml_error::YamlError;
use crate::{messages, names};

/// The most bytes of the file.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most entries of a map and items of a list in the file.
pub const MAX_ITEMS: usize = 32;

/// The deepest nesting of the file. Its fields need 5 levels, and a parser's recursion needs a stack.
const MAX_DEPTH: usize = 16;

/// The most values that aliases (`*name`) repeat.
const MAX_REPEATED: usize = 1000;

/// What is wrong in the file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The line, from 1; `None` if the whole file is meant.
    pub line: Option<u64>,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl GroupDefaults {
    /// Reads the file's text. An empty file has no defaults.
    pub fn parse(text: &str) -> Result<Self, Vec<FileError>> {
        if text.len() > MAX_BYTES {
            let message =
                format!("it has {} bytes, and at most {MAX_BYTES} are read: shorten it", text.len());
            return Err(vec![FileError { line: None, message }]);
        }
        let read = Reader::new(text).read()?;
        let (mut errors, violations) = (read.errors, read.defaults.violations());
        if errors.is_empty() && violations.is_empty() {
            return Ok(read.defaults);
        }
        let lines = Node::of(text);
        errors.extend(violations.into_iter().map(|violation| {
            let field = violation.field.strip_prefix("spec.").unwrap_or(&violation.field);
            let field = read.removed.in_source(field);
            lines.locate(&Violation { field, ..violation })
        }));
        errors.sort_by_key(|error| error.line);
        Err(errors)
    }

    /// The rules of a group's spec, for the fields that the file can set.
    fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let maps = [
            ("spec.metrics.labels", self.metrics.labels.len()),
            ("spec.alerts.ruleLabels", self.alerts.rule_labels.as_ref().map_or(0, BTreeMap::len)),
            ("spec.consumerSpec.imagePullSecrets", self.consumer_spec.image_pull_secrets.len()),
            ("spec.inheritedMetadata.labels", self.inherited_metadata.labels.len()),
            ("spec.inheritedMetadata.annotations", self.inherited_metadata.annotations.len()),
        ];
        for (field, items) in maps.into_iter().filter(|(_, items)| *items > MAX_ITEMS) {
            violations.push(Violation::too_many(Rule::SpecSize, field, items, MAX_ITEMS));
        }
        for (index, secret) in self.consumer_spec.image_pull_secrets.iter().enumerate() {
            if !names::SUBDOMAIN.matches(&secret.name) {
                let field = format!("spec.consumerSpec.imagePullSecrets[{index}].name");
                let name = secret.name.as_str();
                violations.push(Violation::invalid(Rule::Deployment, field, name, messages::SECRET));
            }
        }
        rules::scrape_limits::limits_are_well_formed(&self.limits, &mut violations);
        let empty = KconsumerGroupSpec::default();
        let spec = self.fill_in(&empty);
        violations.extend(rules::check_defaults(
            &RuleInput::new(None, "default", &spec, &TopicGrants::Own).within(self),
        ));
        violations
    }
}

/// Reads the file without giving up at the first key or value that cannot be read: notes it, removes it
/// and reads the rest again.
struct Reader<'a> {
    text: &'a str,
    errors: Vec<FileError>,
    /// The places of the errors.
    fields: Vec<String>,
    removed: Removed,
}

struct Read {
    /// What can be read of the file.
    defaults: GroupDefaults,
    errors: Vec<FileError>,
    /// Where the lists of the defaults are not those of the file.
    removed: Removed,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new(), fields: Vec::new(), removed: Removed::default() }
    }

    fn read(mut self) -> Result<Read, Vec<FileError>> {
        let (mut place, mut error) = match typed(self.text) {
            Ok(defaults) => return Ok(self.done(defaults)),
            Err(failure) => failure,
        };
        let mut line = error.place.map(|(line, _)| line);
        // Without its syntax there is nothing further to read.
        let Ok(mut source) = serde_saphyr::from_str_with_options::<Value>(self.text, options()) else {
            return Err(vec![FileError { line, message: error.message }]);
        };
        let lines = Node::of(self.text);
        while self.errors.len() < MAX_TYPE_ERRORS {
            let field = self.removed.source_path("", place.iter());
            let message = error.message;
            let removed = self.removed.take(&mut source, "", &place, &message);
            // An item that lacks a key because of a misspelt one is one mistake.
            if !self.fields.iter().any(|known| field_path::is_within(known, &field)) {
                let line = line.take().or_else(|| lines.node(&field).line);
                self.errors.push(FileError { line, message });
                self.fields.push(field);
            }
            let rest = removed.and_then(|_| serde_saphyr::to_string(&source).ok());
            match rest.map(|rest| typed(&rest)) {
                None => break,
                Some(Ok(defaults)) => return Ok(self.done(defaults)),
                Some(Err(next)) => (place, error) = next,
            }
        }
        Err(self.errors)
    }

    fn done(self, defaults: GroupDefaults) -> Read {
        Read { defaults, errors: self.errors, removed: self.removed }
    }
}

/// Without a snippet of the source: an error is one line. Aliases cannot make more of the file than it could
/// have without them.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_total_scalar_bytes: MAX_BYTES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
    }
}

/// The defaults in a text, or what cannot be read and where.
fn typed(text: &str) -> Result<GroupDefaults, (Path, YamlError)> {
    let mut track = Track::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
        let deserializer = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        Option::<StrictObject<GroupDefaults>>::deserialize(deserializer)
    });
    let read = read.map(|defaults| defaults.map(|StrictObject(defaults)| defaults).unwrap_or_default());
    read.map_err(|error| (track.path(), YamlError::new(&error, text)))
}

/// A YAML value that only knows where its parts are.
#[derive(Debug, Default)]
struct Node {
    line: Option<u64>,
    parts: Parts,
}

#[derive(Debug, Default)]
enum Parts {
    #[default]
    None,
    Fields(BTreeMap<String, Node>),
    Items(Vec<Node>),
}

impl Node {
    fn of(text: &str) -> Self {
        serde_saphyr::from_str_with_options(text, options()).unwrap_or_default()
    }

    /// The line of a violation's field, or of the nearest parent that the file has.
    fn locate(&self, violation: &Violation) -> FileError {
        let field = violation.field.as_str();
        let message = format!("{}: {}", escape::line(field), violation.message());
        let key = violation.value.as_ref().and_then(|value| value.as_str());
        let node = self.node(field);
        // A wrong key is the violation's value.
        let line = key.and_then(|key| node.child(key)).unwrap_or(node).line;
        FileError { line, message }
    }

    /// The part at a path, or the nearest parent that the file has.
    fn node(&self, field: &str) -> &Self {
        tokens(field).fold(self, |node, name| node.child(name).unwrap_or(node))
    }

    fn child(&self, name: &str) -> Option<&Self> {
        match &self.parts {
            Parts::Fields(fields) => fields.get(name),
            Parts::Items(items) => items.get(name.parse::<usize>().ok()?),
            Parts::None => None,
        }
    }
}

/// The names in a path such as `metrics.labels[example.com/team]`.
fn tokens(field: &str) -> impl Iterator<Item = &str> {
    let (parents, rest) = field.split_once('[').unwrap_or((field, ""));
    let (key, children) = rest.rsplit_once(']').unwrap_or((rest, ""));
    parents.split('.').chain([key]).chain(children.split('.')).filter(|name| !name.is_empty())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: parts, referenced, .. } = Spanned::<Parts>::deserialize(deserializer)?;
        let line = (referenced != Location::UNKNOWN).then(|| referenced.line());
        Ok(Self { line, parts })
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parts, M::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, node)) = map.next_entry()? {
            fields.insert(key, node);
        }
        Ok(Parts::Fields(fields))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Parts, S::Error> {
        let mut items = Vec::new();
        while let Some(node) = seq.next_element()? {
            items.push(node);
        }
        Ok(Parts::Items(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_unit<E>(self) -> Result<Parts, E> {
        Ok(Parts::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        GroupDefaults::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_file_has_no_defaults() {
        for text in ["", "# nothing yet\n", "{}", "null\n", "---\n"] {
            assert_eq!(GroupDefaults::parse(text), Ok(GroupDefaults::default()), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_the_file_does_not_have_is_refused_with_its_line() {
        for (text, line, word) in [
            ("metrics:\n  intervall: 30s\n", 2, "intervall"),
            ("spec:\n  metrics: {}\n", 1, "spec"),
            ("alerts:\n\n  rulelabels: {}\n", 3, "rulelabels"),
            ("consumerSpec:\n  imagePullSecrets:\n  - nam: a\n", 3, "nam"),
            ("metrics: {interval: 5s}\nmetrics: {}\n", 2, "metrics"),
            ("metrics:\n  preset: Sprong\n", 2, "Sprong"),
            ("metrics:\n  labels: [a]\n", 2, "the value must be of type object"),
            ("metrics: []\n", 1, "the value must be of type object"),
            ("metrics:\n  port: x\n", 2, "unknown key \"port\": the keys here are preset, "),
            ("metrics:\n  sampleLimit: many\n", 2, "the value must be of type integer"),
            ("alerts:\n  ruleLabels: 5\n", 2, "the value must be of type object"),
            ("metrics: {}\n---\nalerts: {}\n", 3, "it has more than one document"),
            ("metrics: {\n", 1, "unclosed"),
        ] {
            let errors = errors(text);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(&format!("line {line}: ")), "{text:?}: {}", errors[0]);
            assert!(errors[0].contains(word), "{text:?}: {}", errors[0]);
            assert!(!errors[0].contains('\n'), "{}", errors[0]);
        }
    }

    #[test]
    fn every_value_that_a_group_could_not_have_is_refused_with_its_line() {
        let text = "metrics:\n  interval: soon\n  labels:\n    example.com/team: a b\n    'b c': d\n\
                    alerts:\n  severity: ' x'\n  ruleLabels:\n    app: mine\n\
                    consumerSpec:\n  imagePullSecrets:\n  - name: a\n  - name: B\n  - name: a\n\
                    inheritedMetadata:\n  annotations:\n    thenextapps.com/x: y\n";
        let errors = errors(text);
        for start in [
            "line 2: metrics.interval: Invalid value: \"soon\": must be a Prometheus duration",
            "line 4: metrics.labels[example.com/team]: Invalid value",
            "line 5: metrics.labels: Invalid value: \"b c\"",
            "line 7: alerts.severity: Invalid value",
            "line 9: alerts.ruleLabels[app]: Forbidden",
            "line 13: consumerSpec.imagePullSecrets[1].name: Invalid value: \"B\"",
            "line 14: consumerSpec.imagePullSecrets[2]",
            "line 17: inheritedMetadata.annotations[thenextapps.com/x]: Forbidden",
        ] {
            assert!(errors.iter().any(|error| error.starts_with(start)), "{start} in {errors:#?}");
        }
        assert_eq!(errors.len(), 8, "{errors:#?}");
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once_with_its_line() {
        let text = "metrics:\n  intervall: 30s\n  sampleLimit: many\n  preset: Sprong\n  labelLimit: '5'\n\
                    alerts: []\n\
                    consumerSpec:\n  imagePullSecrets:\n  - nam: a\n  - name: [b]\n  - name: 5\n  - name: C\n\
                    inheritedMetadata:\n  labels: {team: 5}\n";
        let errors = errors(text);
        for start in [
            "line 2: unknown key \"intervall\": the keys here are",
            "line 3: the value must be of type integer",
            "line 4: unsupported value \"Sprong\"",
            "line 6: the value must be of type object",
            "line 9: unknown key \"nam\"",
            "line 10: the value must be of type string",
            "line 12: consumerSpec.imagePullSecrets[3].name: Invalid value: \"C\"",
        ] {
            assert!(errors.iter().any(|error| error.starts_with(start)), "{start} in {errors:#?}");
        }
        assert_eq!(errors.len(), 7, "{errors:#?}");
        let many: Vec<String> = (0..100).map(|index| format!("key{index}: 1\n")).collect();
        assert_eq!(self::errors(&many.concat()).len(), MAX_TYPE_ERRORS);
    }

    #[test]
    fn the_file_is_bounded() {
        assert!(errors(&"#".repeat(MAX_BYTES + 1))[0].contains("at most 65536 are read"));
        let labels: Vec<String> = (0..=MAX_ITEMS).map(|index| format!("    l{index}: v\n")).collect();
        let errors = errors(&format!("metrics:\n  labels:\n{}", labels.concat()));
        assert_eq!(errors, ["line 3: metrics.labels: Too many: 33: must have at most 32 items"]);
        let aliases =
            "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n";
        assert!(GroupDefaults::parse(aliases).is_err());
        let bomb = format!("{aliases}d: [*c,*c,*c,*c]\n").replace("c: [", "c: &c [");
        let long = format!("a: &a {}\nb: [*a,*a]\n", "y".repeat(40_000));
        for text in [bomb, long] {
            assert!(serde_saphyr::from_str_with_options::<Value>(&text, options()).is_err(), "{text}");
        }
        // On the stack of a thread of tests, which is that of a worker of tokio.
        let deep = format!("metrics: {}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(self::errors(&deep), ["line 1: the value must be of type object"]);
    }
}
