//! When two values are equal for the API server: by where they are, a text is a quantity, and an
//! empty value means no value.

use serde_json::{Map, Value};

use crate::quantity::billionths;

/// Where a value is: the field that holds it, and the one above. The fields of a list's item are
/// directly below the list. Both are empty at the top.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) parent: &'a str,
    pub(super) field: &'a str,
    pub(super) depth: usize,
}

pub(super) const ROOT: Place<'_> = Place { parent: "", field: "", depth: 0 };

impl<'a> Place<'a> {
    pub(super) fn below(self, field: &'a str) -> Self {
        Self { parent: self.field, field, depth: self.depth + 1 }
    }

    /// managedFields do not list the fields that identify an object.
    pub(super) fn identifies_the_object(self, key: &str) -> bool {
        match (self.depth, self.field) {
            (0, _) => matches!(key, "apiVersion" | "kind"),
            (1, "metadata") => matches!(key, "name" | "namespace" | "uid"),
            _ => false,
        }
    }

    /// Whether the schema has a quantity here, which the API server normalizes. Elsewhere `1.10` and
    /// `1.1` are two texts.
    fn is_quantity(self) -> bool {
        matches!(
            (self.parent, self.field),
            ("limits" | "requests" | "overhead", _)
                | ("emptyDir", "sizeLimit")
                | ("resourceFieldRef", "divisor")
                | ("target", "value" | "averageValue")
                | ("scaleUp" | "scaleDown", "tolerance")
        )
    }

    /// Whether the order of the items means something, although the API server merges them by name:
    /// a variable can only refer to those before it, and init containers run one after the other.
    pub(super) fn is_ordered(self) -> bool {
        matches!(self.field, "env" | "initContainers" | "containers")
    }
}

/// Whether the API server drops the value.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

/// Fields of which an empty value means something else than no value, so the API server keeps it: of
/// a ServiceMonitor's endpoint (Prometheus follows redirects, and a relabeling has a separator and a
/// replacement), and of a pod (a token is mounted, privileges can be raised, and a container has the
/// settings of its pod).
const NOT_EMPTY_BY_DEFAULT: [&str; 10] = [
    "followRedirects",
    "separator",
    "replacement",
    "automountServiceAccountToken",
    "hostUsers",
    "allowPrivilegeEscalation",
    "runAsNonRoot",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
];

/// Whether a field with this value is the same as no field.
pub(super) fn is_like_absent(key: &str, value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(key, value)| is_like_absent(key, value)),
        value => is_empty(value) && !NOT_EMPTY_BY_DEFAULT.contains(&key),
    }
}

/// Fields that the API server fills in below a value that managedFields list as a whole: of a
/// fieldRef, a resourceFieldRef, a projected ServiceAccount token, and a relabeling of a
/// ServiceMonitor.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "apiVersion" => value == "v1",
        "divisor" => value == "0",
        "expirationSeconds" => value == 3600,
        "action" => value == "replace",
        _ => false,
    }
}

/// Equality after the API server has filled in omitted fields, dropped empty values and normalized
/// quantities. `place` is that of the two values.
pub(super) fn same(place: Place<'_>, desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (_, Value::Null) => is_empty(desired),
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(live) => same(place.below(key), value, live),
                None => is_like_absent(key, value),
            }) && (no_field_is_left(wanted, live) || may_have_any_field(desired, live))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired.iter().zip(live).all(|(desired, live)| same(place, desired, live))
        }
        (Value::String(desired), Value::String(live)) => {
            desired == live
                || (place.is_quantity()
                    && billionths(desired).is_some_and(|quantity| Some(quantity) == billionths(live)))
        }
        (Value::Number(_), Value::Number(_)) => desired == live || desired.as_f64() == live.as_f64(),
        _ => desired == live,
    }
}

/// Whether every live field is desired or a default. A field that an earlier apply set below a
/// value that is owned as a whole has no owner of its own, so this is the only trace of it.
fn no_field_is_left(wanted: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    let mut others = live.iter().filter(|(key, _)| !wanted.contains_key(*key));
    others.all(|(key, value)| is_like_absent(key, value) || is_default(key, value))
}

/// An empty value also stands for one that is owned field by field, such as a securityContext or an
/// emptyDir: its fields belong to others. A label selector never is such a value.
fn may_have_any_field(desired: &Value, live: &Map<String, Value>) -> bool {
    let is_selector = |key: &String| matches!(key.as_str(), "matchLabels" | "matchExpressions");
    is_empty(desired) && !live.keys().any(is_selector)
}
