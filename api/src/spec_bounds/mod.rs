//! The bounds on a spec, counted on its JSON before anything is typed.
//!
//! Types need much more memory than JSON: `{}` is three bytes, and a volume of kilobytes. The
//! webhook, the controller and `validate` therefore count first. The CRD's schema has the same bounds,
//! where a schema can have them.

mod count;

use serde_json::Value;

pub use count::json_bytes;

use crate::field_path;
use crate::violation::{Rule, Violation};

/// The default of `--max-spec-bytes`: bytes of a spec as compact JSON.
pub const MAX_BYTES: usize = 64 << 10;
/// The most JSON values in a spec: objects, list items and scalars.
pub const MAX_NODES: usize = 5000;
/// The most items of a list, and the most fields of an object.
pub const MAX_ITEMS: usize = 100;
/// The most items of `env` and `envFrom`.
pub(crate) const MAX_ENV_ITEMS: usize = 1000;
/// How many objects and lists may be nested, the spec itself included.
pub const MAX_DEPTH: usize = 64;
/// The same for a document that may contain a spec: an AdmissionReview, and a manifest as YAML or JSON.
/// It is what serde_json reads, so a manifest is read alike in both formats, and a spec that is
/// nested too deeply is reported by its field.
pub const MAX_DOCUMENT_DEPTH: usize = 127;
/// The most labels, or annotations, that the owned resources get.
pub(crate) const MAX_LABELS: usize = 32;
/// The most bytes of a text.
pub(crate) const MAX_TEXT: usize = 4096;
/// The most bytes of the value of an environment variable. Linux passes no longer one to a process.
pub(crate) const MAX_VARIABLE: usize = 128 << 10;
/// The most bytes of the value of an alert's label, which each alert of the group repeats.
pub(crate) const MAX_ALERT_LABEL: usize = 1024;

/// Maps whose entries become labels or annotations.
const MAPS_OF_LABELS: [&str; 5] = [
    "spec.metrics.labels",
    "spec.alerts.labels",
    "spec.alerts.ruleLabels",
    "spec.inheritedMetadata.labels",
    "spec.inheritedMetadata.annotations",
];
/// Lists whose length a rule of their own checks.
const OWN_RULE: [&str; 4] = [
    "spec.consumerSpec.topics",
    "spec.consumerSpec.env",
    "spec.consumerSpec.envFrom",
    "spec.metrics.additionalEndpoints",
];
/// Such lists of an endpoint.
const OWN_RULE_OF_ENDPOINT: [&str; 4] =
    ["relabelings", "relabelings[].sourceLabels", "metricRelabelings", "metricRelabelings[].sourceLabels"];

/// The most items of the list at a path, in which `[]` is any item of a list.
pub(crate) fn most_items(path: &str) -> usize {
    match path.rsplit('.').next() {
        Some("env" | "envFrom") => MAX_ENV_ITEMS,
        _ => MAX_ITEMS,
    }
}

/// The most fields of the object at such a path.
pub(crate) fn most_fields(path: &str) -> usize {
    if MAPS_OF_LABELS.contains(&path) { MAX_LABELS } else { MAX_ITEMS }
}

/// The most bytes of the text at such a path; `None` if only the whole spec has a bound.
pub(crate) fn most_bytes(path: &str) -> Option<usize> {
    if path.starts_with("spec.consumerSpec.podTemplate") {
        None
    } else if path == "spec.consumerSpec.env[].value" {
        Some(MAX_VARIABLE)
    } else if path.starts_with("spec.alerts.labels.") {
        Some(MAX_ALERT_LABEL)
    } else {
        Some(MAX_TEXT)
    }
}

fn has_own_rule(path: &str) -> bool {
    let of_endpoint = ["spec.metrics.endpoint.", "spec.metrics.additionalEndpoints[]."]
        .iter()
        .find_map(|endpoint| path.strip_prefix(endpoint));
    OWN_RULE.contains(&path) || of_endpoint.is_some_and(|list| OWN_RULE_OF_ENDPOINT.contains(&list))
}

/// What is counted at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Items,
    Fields,
    Bytes,
}

impl Measure {
    /// A count up to this is within the bound at every path.
    const fn within_all(self) -> usize {
        match self {
            Self::Items => MAX_ITEMS,
            Self::Fields => MAX_LABELS,
            Self::Bytes => MAX_ALERT_LABEL,
        }
    }

    /// The violation of the bound at a path with indices.
    fn check(self, field: String, count: usize) -> Option<Violation> {
        let path = field_path::without_indices(&field);
        let most = match self {
            Self::Items => most_items(&path),
            Self::Fields => most_fields(&path),
            Self::Bytes => most_bytes(&path)?,
        };
        if count <= most || (self == Self::Items && has_own_rule(&path)) {
            return None;
        }
        Some(match self {
            Self::Items | Self::Fields => Violation::too_many(Rule::SpecSize, field, count, most),
            Self::Bytes => Violation::too_long(Rule::SpecSize, field, count, most),
        })
    }
}

/// The violations of a spec's JSON text. A text that is not JSON is counted up to its error.
pub fn check_text(spec: &str, max_bytes: usize) -> Vec<Violation> {
    count::check(&mut serde_json::Deserializer::from_str(spec), max_bytes)
}

/// The violations of a spec.
pub fn check_value(spec: &Value, max_bytes: usize) -> Vec<Violation> {
    count::check(spec, max_bytes)
}

/// Whether the violations forbid to type the spec, because that might need too much memory.
pub fn forbid_typing(violations: &[Violation]) -> bool {
    violations.iter().any(|violation| violation.rule == Rule::SpecNodes)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let text = |length: usize| template(&json!({"a": "x".repeat(length)}));
        let rest = MAX_BYTES - text(0).to_string().len();
        assert_eq!(words(&text(rest)), [""; 0]);
        assert_eq!(words(&text(rest + 1)), ["spec: Too long: must have at most 65536 bytes as compact JSON"]);
        let nodes = |count: usize| json!({"a": vec![vec![0; 99]; count / 100], "b": vec![0; count % 100]});
        assert_eq!(words(&nodes(MAX_NODES - 3)), [""; 0]);
        assert_eq!(
            words(&nodes(MAX_NODES - 2)),
            ["spec: Too many: 5001: must have at most 5000 values (objects, list items and scalars)"]
        );
    }

    #[test]
    fn objects_and_texts_have_bounds_that_depend_on_their_place() {
        let fields = |count: usize| -> Value {
            (0..count).map(|key| (format!("k{key}"), json!(""))).collect::<serde_json::Map<_, _>>().into()
        };
        let text = |length: usize| json!("x".repeat(length));
        for (path, most, unit) in [
            ("metrics.labels", 32, "items"),
            ("inheritedMetadata.annotations", 32, "items"),
            ("consumerSpec.resources.limits", 100, "items"),
            ("consumerSpec.podTemplate.metadata.annotations", 100, "items"),
            ("consumerSpec.groupId", 4096, "bytes"),
            ("alerts.labels.team", 1024, "bytes"),
            ("scaling.metrics.pods.metric.name", 4096, "bytes"),
        ] {
            let of = |count: usize| {
                let value = if unit == "items" { fields(count) } else { text(count) };
                path.rsplit('.').fold(value, |value, name| json!({name: value}))
            };
            assert_eq!(words(&of(most)), [""; 0], "{path}");
            let found = words(&of(most + 1));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("spec.{path}: Too ")), "{found:?}");
            assert!(found[0].ends_with(&format!(" at most {most} {unit}")), "{found:?}");
        }
        let variable = |length: usize| json!({"consumerSpec": {"env": [{"value": text(length)}]}});
        assert!(check_value(&variable(MAX_VARIABLE), usize::MAX).is_empty());
        assert_eq!(
            check_value(&variable(MAX_VARIABLE + 1), usize::MAX)[0].field,
            "spec.consumerSpec.env[0].value"
        );
        assert!(check_value(&template(&json!({"a": text(MAX_VARIABLE + 1)})), usize::MAX).is_empty());
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
        assert_eq!(words(&json!({"a": lists})).len(), count::MAX_REPORTED);
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
}
