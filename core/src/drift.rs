//! Whether a live object has drifted from the desired one in a field that the operator owns.
//!
//! The API server records which fields the operator's last apply set, in the managedFields entry of
//! its field manager. Walking that entry, the desired object and the live one in parallel answers
//! three questions without a schema and without memory: whether the operator still owns every
//! desired field (another manager that changes one takes it over), whether each has the desired
//! value, and whether it owns no field that is no longer desired. Fields of other owners are
//! ignored. A value that managedFields list as a whole, such as a nodeSelector, is compared as a
//! whole, apart from what the API server fills in.

use kcg_api::names;
use serde_json::{Map, Value};

use crate::children::{Desired, Digest};
use crate::quantity::billionths;

/// How a live child compares with the desired one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drift {
    /// Not compared: its group was not known when it was seen. Read it before writing it.
    #[default]
    Unknown,
    /// Every field that the operator owns has the value of this desired object, and it owns no
    /// other field.
    InSync(Digest),
    /// A field that the operator owned has another value or another owner.
    Drifted,
}

/// Compares a live object with the desired one; with `None`, which is a child that should not
/// exist, nothing is known.
pub fn drift(desired: Option<&Desired>, live: &Value) -> Drift {
    match desired {
        Some(desired) if matches(&desired.object, live) => Drift::InSync(desired.digest()),
        Some(_) => Drift::Drifted,
        None => Drift::Unknown,
    }
}

/// Whether applying `desired` to `live` would change no field that the operator owns.
pub fn matches(desired: &Value, live: &Value) -> bool {
    owned_fields(live, desired["apiVersion"].as_str())
        .is_some_and(|fields| Level::Root.walk(fields, desired, live))
}

/// The fields that the operator's last apply set, unless it used another API version.
fn owned_fields<'a>(live: &'a Value, api_version: Option<&str>) -> Option<&'a Map<String, Value>> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let text = |entry: &'a Value, key: &str| entry.get(key).and_then(Value::as_str);
    let ours = entries.iter().find(|entry| {
        text(entry, "manager") == Some(names::OPERATOR)
            && text(entry, "operation") == Some("Apply")
            && text(entry, "subresource").is_none()
            && text(entry, "apiVersion") == api_version
    })?;
    ours.get("fieldsV1")?.as_object()
}

/// Whether the operator's last apply set this annotation and no other manager has changed it since.
pub fn owns_annotation(live: &Value, key: &str) -> bool {
    let annotations = owned_fields(live, live["apiVersion"].as_str())
        .and_then(|fields| fields.get("f:metadata")?.get("f:annotations")?.as_object());
    annotations.is_some_and(|annotations| annotations.contains_key(&format!("f:{key}")))
}

/// The depth of the walk: managedFields do not list the fields that identify an object.
#[derive(Clone, Copy)]
enum Level {
    Root,
    Metadata,
    Below,
}

impl Level {
    fn identifies_the_object(self, key: &str) -> bool {
        match self {
            Self::Root => matches!(key, "apiVersion" | "kind"),
            Self::Metadata => matches!(key, "name" | "namespace" | "uid"),
            Self::Below => false,
        }
    }

    fn below(self, key: &str) -> Self {
        if matches!(self, Self::Root) && key == "metadata" { Self::Metadata } else { Self::Below }
    }

    fn walk(self, fields: &Map<String, Value>, desired: &Value, live: &Value) -> bool {
        let leaf = fields.keys().all(|key| key == ".");
        match desired {
            Value::Object(wanted) if !leaf => self.walk_object(fields, wanted, live),
            Value::Array(items) if !leaf => walk_list(fields, items, live),
            _ => leaf && same(desired, live),
        }
    }

    fn walk_object(self, fields: &Map<String, Value>, wanted: &Map<String, Value>, live: &Value) -> bool {
        let as_wanted =
            wanted.iter().filter(|(key, _)| !self.identifies_the_object(key)).all(|(key, value)| {
                let live = live.get(key).unwrap_or(&Value::Null);
                match fields.get(&format!("f:{key}")).and_then(Value::as_object) {
                    Some(fields) => self.below(key).walk(fields, value, live),
                    // An empty value has no owner. If another manager set it, the live value is not
                    // empty.
                    None => is_empty(value) && is_empty(live),
                }
            });
        let no_more =
            fields.keys().filter_map(|key| key.strip_prefix("f:")).all(|key| wanted.contains_key(key));
        as_wanted && no_more
    }
}

/// A list that the API server merges item by item: by keys (`k:`) or as a set (`v:`).
fn walk_list(fields: &Map<String, Value>, items: &[Value], live: &Value) -> bool {
    let owned: Vec<(&String, &Value)> = fields.iter().filter(|(key, _)| *key != ".").collect();
    owned.len() == items.len()
        && owned.into_iter().all(|(key, fields)| {
            if let Some(value) = key.strip_prefix("v:") {
                return serde_json::from_str(value).is_ok_and(|value: Value| items.contains(&value));
            }
            let Some(keys) = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok()) else {
                return false;
            };
            // The API server fills in an omitted key, so the desired item may lack it.
            let wanted = items.iter().find(|item| keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value)));
            let live = live.as_array().and_then(|live| live.iter().find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value))));
            matches!((wanted, live, fields.as_object()), (Some(wanted), Some(live), Some(fields)) if Level::Below.walk(fields, wanted, live))
        })
}

/// Whether the API server drops the value.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

/// Fields of a ServiceMonitor's endpoint of which an empty value means something else than no value:
/// Prometheus follows redirects, and a relabeling has a separator and a replacement.
const NOT_EMPTY_BY_DEFAULT: [&str; 3] = ["followRedirects", "separator", "replacement"];

/// Whether a field with this value is the same as no field.
fn is_like_absent(key: &str, value: &Value) -> bool {
    is_empty(value) && !NOT_EMPTY_BY_DEFAULT.contains(&key)
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
/// quantities.
fn same(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (_, Value::Null) => is_empty(desired),
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(live) => same(value, live),
                None => is_like_absent(key, value),
            }) && (no_field_is_left(wanted, live) || may_have_any_field(desired, live))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len() && desired.iter().zip(live).all(|(desired, live)| same(desired, live))
        }
        (Value::String(desired), Value::String(live)) => {
            desired == live || matches!((billionths(desired), billionths(live)), (Some(a), Some(b)) if a == b)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(fields: &Value, rest: &Value) -> Value {
        let mut live = rest.clone();
        live["apiVersion"] = json!("v1");
        live["metadata"]["managedFields"] = json!([
            {"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": {"f:other": {}}}},
            {"manager": names::OPERATOR, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields},
        ]);
        live
    }

    fn desired(spec: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "k", "namespace": "n", "labels": {"app": "k"}}, "spec": spec})
    }

    fn service(port: i32, fields: Option<Value>) -> Value {
        let owned = json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":8085,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}}, "f:selector": {}},
        });
        live(
            &fields.unwrap_or(owned),
            &json!({
                "metadata": {"labels": {"app": "k", "others": "own"}},
                "spec": {"other": 1, "selector": {"app": "k"}, "ports": [{"port": port, "protocol": "TCP", "name": "metrics", "targetPort": 8085}]},
            }),
        )
    }

    fn wanted() -> Value {
        desired(&json!({"selector": {"app": "k"}, "ports": [{"port": 8085, "name": "metrics"}]}))
    }

    #[test]
    fn fields_of_other_owners_and_defaults_of_the_server_are_no_drift() {
        assert!(matches(&wanted(), &service(8085, None)));
    }

    #[test]
    fn a_field_that_another_manager_took_over_is_drift() {
        let taken = json!({"f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":8085,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}}}});
        assert!(!matches(&wanted(), &service(8085, Some(taken))));
    }

    #[test]
    fn a_changed_value_a_changed_key_and_a_field_that_is_no_longer_desired_are_drift() {
        assert!(!matches(&wanted(), &service(8086, None)));
        let mut renamed = wanted();
        renamed["spec"]["ports"][0]["name"] = json!("lag");
        assert!(!matches(&renamed, &service(8085, None)));
        let mut fewer = wanted();
        fewer["spec"].as_object_mut().unwrap().remove("selector");
        assert!(!matches(&fewer, &service(8085, None)));
    }

    #[test]
    fn an_empty_value_is_drift_if_another_manager_set_it() {
        let desired = desired(&json!({"hostNetwork": false, "window": 0}));
        let fields = json!({"f:metadata": {"f:labels": {"f:app": {}}}});
        let with = |spec: &Value| live(&fields, &json!({"metadata": {"labels": {"app": "k"}}, "spec": spec}));
        assert!(matches(&desired, &with(&json!({}))));
        assert!(!matches(&desired, &with(&json!({"hostNetwork": true}))));
        assert!(!matches(&desired, &with(&json!({"window": 5}))));
    }

    #[test]
    fn cleared_managed_fields_are_drift() {
        let mut wiped = service(8085, None);
        wiped["metadata"]["managedFields"] = json!([{}]);
        assert!(!matches(&wanted(), &wiped));
        wiped["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert!(!matches(&wanted(), &wiped));
    }

    /// A Deployment's pod spec of which every field is owned as a whole.
    fn matches_pod(desired: &Value, live: &Value) -> bool {
        let leaves: Map<String, Value> =
            desired.as_object().unwrap().keys().map(|key| (format!("f:{key}"), json!({}))).collect();
        Level::Below.walk(
            &json!({"f:spec": leaves}).as_object().unwrap().clone(),
            &json!({"spec": desired}),
            &json!({"spec": live}),
        )
    }

    #[test]
    fn what_is_left_of_an_earlier_apply_inside_a_value_that_is_owned_as_a_whole_is_drift() {
        for (desired, live) in [
            (json!({"nodeSelector": {"a": "1"}}), json!({"nodeSelector": {"a": "1", "disktype": "ssd"}})),
            (
                json!({"tolerations": [{"key": "k"}]}),
                json!({"tolerations": [{"key": "k", "effect": "NoSchedule"}]}),
            ),
            (
                json!({"ref": {"name": "s", "key": "k"}}),
                json!({"ref": {"name": "s", "key": "k", "optional": true}}),
            ),
            (
                json!({"rules": [{"labels": {"severity": "page"}}]}),
                json!({"rules": [{"labels": {"severity": "page", "team": "t"}}]}),
            ),
            (json!({"labelSelector": {}}), json!({"labelSelector": {"matchLabels": {"a": "b"}}})),
        ] {
            assert!(!matches_pod(&desired, &live), "{desired} {live}");
            assert!(matches_pod(&live, &live), "{live}");
        }
    }

    #[test]
    fn a_default_inside_a_value_that_is_owned_as_a_whole_is_no_drift() {
        for (desired, live) in [
            (
                json!({"fieldRef": {"fieldPath": "p"}}),
                json!({"fieldRef": {"fieldPath": "p", "apiVersion": "v1"}}),
            ),
            (
                json!({"ref": {"resource": "limits.cpu"}}),
                json!({"ref": {"resource": "limits.cpu", "divisor": "0"}}),
            ),
            (json!({"ref": {"name": "n"}}), json!({"ref": {"name": "n", "optional": false}})),
            (
                json!({"sources": [{"serviceAccountToken": {"path": "t"}}]}),
                json!({"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}),
            ),
            (
                json!({"endpoints": [{"relabelings": [{"targetLabel": "a", "replacement": "b"}]}]}),
                json!({"endpoints": [{"relabelings": [{"targetLabel": "a", "replacement": "b", "action": "replace"}]}]}),
            ),
            (json!({"securityContext": {}}), json!({"securityContext": {"runAsUser": 1}})),
        ] {
            assert!(matches_pod(&desired, &live), "{desired} {live}");
        }
    }

    #[test]
    fn an_empty_value_that_stands_for_something_else_than_none_is_drift() {
        let endpoint = |fields: &Value| json!({"endpoints": [fields]});
        let relabeling = |fields: &Value| endpoint(&json!({"relabelings": [fields]}));
        for (one, other) in [
            (endpoint(&json!({"port": "a", "followRedirects": false})), endpoint(&json!({"port": "a"}))),
            (
                relabeling(&json!({"targetLabel": "a", "replacement": ""})),
                relabeling(&json!({"targetLabel": "a"})),
            ),
            (
                relabeling(&json!({"targetLabel": "a", "separator": ""})),
                relabeling(&json!({"targetLabel": "a"})),
            ),
        ] {
            assert!(!matches_pod(&one, &other), "{one} {other}");
            assert!(!matches_pod(&other, &one), "{other} {one}");
            assert!(matches_pod(&one, &one), "{one}");
        }
        let honor_labels = endpoint(&json!({"port": "a", "honorLabels": false}));
        assert!(matches_pod(&honor_labels, &endpoint(&json!({"port": "a"}))));
    }

    #[test]
    fn quantities_are_equal_by_value() {
        for (a, b) in [
            ("1000m", "1"),
            ("1k", "1000"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("-1.5", "-1500m"),
        ] {
            assert!(same(&json!(a), &json!(b)), "{a} {b}");
        }
        for (a, b) in [("1", "2"), ("1k", "1Ki"), ("latest", "1"), ("", "0")] {
            assert!(!same(&json!(a), &json!(b)), "{a} {b}");
        }
    }
}
