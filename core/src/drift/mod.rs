//! Whether a live object has drifted from the desired one in a field that the operator owns.
//!
//! The API server records which fields the operator's last apply set, in the managedFields entry of
//! its field manager; of a child that was created and not applied since, those of the creation.
//! Walking that entry, the desired object and the live one in parallel answers three questions
//! without a schema and without memory: whether the operator still owns every desired field (another
//! manager that changes one takes it over), whether each has the desired value, and whether it owns
//! no field that is no longer desired. Fields of other owners are ignored. A value that
//! managedFields list as a whole, such as a nodeSelector, is compared as a whole, apart from what
//! the API server fills in.

mod equality;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::children::{Desired, Digest};
use crate::creation::{self, Shape};
use equality::{Place, ROOT, is_empty, is_like_absent, same};

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
    let Some(owned) = OwnedFields::of(live, desired["apiVersion"].as_str()) else {
        return false;
    };
    // Besides the fields that it sent, the creator owns those that the API server filled in.
    let exact = owned.created_with.is_none();
    owned.created_with.is_none_or(|sent| sent == creation::shape(desired))
        && Comparison { exact }.walk(ROOT, owned.fields, desired, live)
}

/// The fields that the operator owns: those of its last apply, or of the creation if it has not
/// applied the object since.
struct OwnedFields<'a> {
    fields: &'a Map<String, Value>,
    /// Of a creation: the shape of the object that was sent.
    created_with: Option<Shape>,
}

impl<'a> OwnedFields<'a> {
    /// `None` if there are none, or those of another API version.
    fn of(live: &'a Value, api_version: Option<&str>) -> Option<Self> {
        let entries = live.pointer("/metadata/managedFields")?.as_array()?;
        let of_version = || entries.iter().filter(|entry| entry["apiVersion"].as_str() == api_version);
        if let Some(applied) = of_version().find(|entry| creation::is_applied(entry)) {
            return Some(Self { fields: applied["fieldsV1"].as_object()?, created_with: None });
        }
        let created = |entry: &'a Value| {
            let created_with = Some(creation::entry_shape(entry)?);
            Some(Self { fields: entry["fieldsV1"].as_object()?, created_with })
        };
        of_version().find_map(created)
    }
}

/// Whether the operator set this annotation last.
pub fn owns_annotation(live: &Value, key: &str) -> bool {
    let annotations = OwnedFields::of(live, live["apiVersion"].as_str())
        .and_then(|owned| owned.fields.get("f:metadata")?.get("f:annotations")?.as_object());
    annotations.is_some_and(|annotations| annotations.contains_key(&format!("f:{key}")))
}

/// The walk through the fields of an object that the operator owns. Its time grows linearly with
/// their number and with the size of the live object.
#[derive(Clone, Copy)]
struct Comparison {
    /// A field that the operator owns and that is not desired is drift.
    exact: bool,
}

impl Comparison {
    fn walk(self, place: Place<'_>, fields: &Map<String, Value>, desired: &Value, live: &Value) -> bool {
        let leaf = fields.keys().all(|key| key == ".");
        match desired {
            Value::Object(wanted) if !leaf => self.object(place, fields, wanted, live),
            Value::Array(items) if !leaf => self.list(place, fields, items, live),
            _ => leaf && same(place, desired, live),
        }
    }

    fn object(
        self,
        place: Place<'_>,
        fields: &Map<String, Value>,
        wanted: &Map<String, Value>,
        live: &Value,
    ) -> bool {
        let as_wanted =
            wanted.iter().filter(|(key, _)| !place.identifies_the_object(key)).all(|(key, value)| {
                let live = live.get(key).unwrap_or(&Value::Null);
                match fields.get(&format!("f:{key}")).and_then(Value::as_object) {
                    Some(fields) => self.walk(place.below(key), fields, value, live),
                    // An empty value has no owner. If another manager set it, the live value is not
                    // empty.
                    None if live.is_null() => is_like_absent(key, value),
                    None => is_empty(value) && is_empty(live) && same(place.below(key), value, live),
                }
            });
        let mut owned = fields.keys().filter_map(|key| key.strip_prefix("f:"));
        as_wanted && (!self.exact || owned.all(|key| wanted.contains_key(key)))
    }

    /// A list that the API server merges item by item: by keys (`k:`) or as a set (`v:`).
    fn list(self, place: Place<'_>, fields: &Map<String, Value>, items: &[Value], live: &Value) -> bool {
        let owned: Vec<(&str, &Value)> =
            fields.iter().filter(|(key, _)| *key != ".").map(|(key, value)| (key.as_str(), value)).collect();
        if owned.len() != items.len() {
            return false;
        }
        if owned.iter().all(|(key, _)| key.starts_with("v:")) {
            let wanted: HashSet<String> = items.iter().map(Value::to_string).collect();
            return owned.iter().all(|(key, _)| {
                let value = serde_json::from_str::<Value>(&key["v:".len()..]);
                value.is_ok_and(|value| wanted.contains(&value.to_string()))
            });
        }
        let live = live.as_array().map_or(&[][..], Vec::as_slice);
        (!place.is_ordered() || has_the_order_of(items, live))
            && self.keyed_list(place, &owned, items, live).unwrap_or(false)
    }

    /// `None` if the list has other keys than its first item.
    fn keyed_list(
        self,
        place: Place<'_>,
        owned: &[(&str, &Value)],
        items: &[Value],
        live: &[Value],
    ) -> Option<bool> {
        let keys = |text: &str| -> Option<Map<String, Value>> {
            serde_json::from_str(text.strip_prefix("k:")?).ok()
        };
        let names: Vec<String> = keys(owned.first()?.0)?.keys().cloned().collect();
        let (wanted, live) = (by_key(&names, items), by_key(&names, live));
        for (text, fields) in owned {
            let keys = keys(text).filter(|keys| keys.keys().eq(&names))?;
            let key: Vec<Value> = names.iter().map(|name| keys[name].clone()).collect();
            // The API server fills in an omitted protocol, so the desired item may lack it.
            let omitted = || with_omitted_protocol(&names, &key);
            let wanted = wanted.get(&text_of(&key)).or_else(|| wanted.get(&text_of(&omitted())));
            let (wanted, live) = (*wanted?, *live.get(&text_of(&key))?);
            if !self.walk(place, fields.as_object()?, wanted, live) {
                return Some(false);
            }
        }
        Some(true)
    }
}

/// Whether the items that are desired have their order in a live list of named items. Those of other
/// managers may be among them.
fn has_the_order_of(items: &[Value], live: &[Value]) -> bool {
    let name = |item: &Value| item["name"].as_str().map(str::to_owned);
    let wanted: Vec<Option<String>> = items.iter().map(name).collect();
    let known: HashSet<&Option<String>> = wanted.iter().collect();
    live.iter().map(name).filter(|name| known.contains(name)).eq(wanted.iter().cloned())
}

/// The items of a list by the text of their keys; of several with the same keys the first.
fn by_key<'a>(names: &[String], items: &'a [Value]) -> HashMap<String, &'a Value> {
    let key = |item: &Value| -> Vec<Value> {
        names.iter().map(|name| item.get(name).cloned().unwrap_or_default()).collect()
    };
    // The last one that is collected stays.
    items.iter().rev().map(|item| (text_of(&key(item)), item)).collect()
}

fn text_of(key: &[Value]) -> String {
    key.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
}

fn with_omitted_protocol(names: &[String], key: &[Value]) -> Vec<Value> {
    let parts = names.iter().zip(key);
    parts.map(|(name, value)| if name == "protocol" { Value::Null } else { value.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use kcg_api::names;
    use serde_json::json;

    use super::*;

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

    /// The same Service, created and not applied since; the API server has filled in a field.
    fn created(desired: &Value) -> Value {
        let mut live = service(8085, None);
        let entry = &mut live["metadata"]["managedFields"][1];
        entry["manager"] = json!(creation::creator(desired));
        entry["operation"] = json!("Update");
        entry["fieldsV1"]["f:spec"]["f:sessionAffinity"] = json!({});
        live["spec"]["sessionAffinity"] = json!("None");
        live
    }

    #[test]
    fn a_created_object_is_compared_without_what_the_api_server_filled_in() {
        let live = created(&wanted());
        assert!(matches(&wanted(), &live));
        let mut changed = live.clone();
        changed["spec"]["ports"][0]["name"] = json!("other");
        assert!(!matches(&wanted(), &changed), "a changed value");
        let mut taken = live.clone();
        taken["metadata"]["managedFields"][1]["fieldsV1"]["f:spec"]
            .as_object_mut()
            .unwrap()
            .remove("f:selector");
        assert!(!matches(&wanted(), &taken), "another owner");
        let mut fewer = wanted();
        fewer["metadata"].as_object_mut().unwrap().remove("labels");
        assert!(!matches(&fewer, &live), "a field that was sent and is no longer desired");
    }

    #[test]
    fn of_an_object_that_was_applied_since_its_creation_the_apply_counts() {
        let mut live = created(&json!({}));
        let applied = service(8085, None)["metadata"]["managedFields"][1].clone();
        live["metadata"]["managedFields"].as_array_mut().unwrap().push(applied);
        assert!(matches(&wanted(), &live));
    }

    #[test]
    fn the_items_of_a_list_are_found_by_their_keys_in_any_order() {
        let port = |number: i32, protocol: &str| json!({"port": number, "protocol": protocol});
        let fields = |number: i32, protocol: &str| {
            (
                format!("k:{{\"port\":{number},\"protocol\":\"{protocol}\"}}"),
                json!({".": {}, "f:port": {}, "f:protocol": {}}),
            )
        };
        let owned: Map<String, Value> =
            [fields(1, "TCP"), fields(1, "UDP"), fields(2, "TCP")].into_iter().collect();
        let owned = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:ports": owned}});
        let with = |ports: &[Value]| {
            live(&owned, &json!({"metadata": {"labels": {"app": "k"}}, "spec": {"ports": ports}}))
        };
        let seen = [port(2, "TCP"), port(3, "TCP"), port(1, "UDP"), port(1, "TCP")];
        let wanted = [port(1, "UDP"), port(1, "TCP"), port(2, "TCP")];
        assert!(matches(&desired(&json!({"ports": wanted})), &with(&seen)));
        assert!(!matches(&desired(&json!({"ports": wanted})), &with(&seen[1..])), "one is gone");
        assert!(!matches(&desired(&json!({"ports": wanted[1..]})), &with(&seen)), "one more is owned");
        let twice = [port(1, "UDP"), port(1, "UDP"), port(2, "TCP")];
        assert!(!matches(&desired(&json!({"ports": twice})), &with(&seen)), "one is not owned");
    }

    #[test]
    fn long_lists_are_compared_in_linear_time() {
        let list = |count: usize| {
            (0..count).map(|number| json!({"name": number.to_string(), "value": "v"})).collect::<Vec<_>>()
        };
        let fields = |count: usize| -> Map<String, Value> {
            let key = |number: usize| format!("k:{{\"name\":\"{number}\"}}");
            (0..count).map(|number| (key(number), json!({".": {}, "f:name": {}, "f:value": {}}))).collect()
        };
        // Comparing each of them with each other one would take minutes.
        let count = 20_000;
        let comparison = Comparison { exact: true };
        assert!(comparison.list(ROOT, &fields(count), &list(count), &json!(list(count))));
    }

    /// A Deployment's pod spec of which every field is owned as a whole.
    fn matches_pod(desired: &Value, live: &Value) -> bool {
        let leaves: Map<String, Value> =
            desired.as_object().unwrap().keys().map(|key| (format!("f:{key}"), json!({}))).collect();
        Comparison { exact: true }.walk(
            Place { depth: 1, ..ROOT },
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
        let limit = Place { parent: "limits", field: "cpu", depth: 9 };
        for (a, b) in [
            ("1000m", "1"),
            ("1k", "1000"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("-1.5", "-1500m"),
        ] {
            assert!(same(limit, &json!(a), &json!(b)), "{a} {b}");
        }
        for (a, b) in [("1", "2"), ("1k", "1Ki"), ("latest", "1"), ("", "0")] {
            assert!(!same(limit, &json!(a), &json!(b)), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_a_quantity_in_the_schema_is_compared_by_value() {
        for (spec, is_quantity) in [
            ("/resources/limits/cpu", true),
            ("/resources/requests/nvidia.com~1gpu", true),
            ("/overhead/cpu", true),
            ("/volumes/0/emptyDir/sizeLimit", true),
            ("/volumes/0/ephemeral/volumeClaimTemplate/spec/resources/requests/storage", true),
            ("/env/0/valueFrom/resourceFieldRef/divisor", true),
            ("/metrics/0/pods/target/averageValue", true),
            ("/metrics/0/object/target/value", true),
            ("/behavior/scaleUp/tolerance", true),
            ("/env/0/value", false),
            ("/tolerations/0/value", false),
            ("/nodeSelector/requests", false),
            ("/metadata/annotations/sizeLimit", false),
            ("/metadata/labels/version", false),
            ("/containers/0/args/0", false),
        ] {
            let with = |text: &str| {
                let keys: Vec<&str> = spec.split('/').skip(1).collect();
                keys.iter().rev().fold(json!(text), |inner, key| match *key {
                    "0" => json!([inner]),
                    key => json!({key.replace("~1", "/"): inner}),
                })
            };
            assert_eq!(matches_pod(&with("1.10"), &with("1.1")), is_quantity, "{spec}");
            assert!(!matches_pod(&with("1.10"), &with("1.2")), "{spec}");
        }
    }

    /// A container's variables, each with its name alone.
    fn variables(names: &[&str], owned: &[&str], live: &[&str]) -> bool {
        let list = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Value>();
        let fields: Map<String, Value> = owned
            .iter()
            .map(|name| (format!("k:{{\"name\":\"{name}\"}}"), json!({".": {}, "f:name": {}})))
            .collect();
        Comparison { exact: true }.walk(
            ROOT,
            &Map::from_iter([("f:env".to_owned(), Value::Object(fields))]),
            &json!({"env": list(names)}),
            &json!({"env": list(live)}),
        )
    }

    #[test]
    fn the_order_of_our_own_variables_is_compared_among_those_of_others() {
        assert!(variables(&["A", "B"], &["A", "B"], &["A", "B"]));
        assert!(variables(&["A", "B"], &["A", "B"], &["X", "A", "Y", "B"]));
        assert!(!variables(&["A", "B"], &["A", "B"], &["B", "A"]));
        assert!(!variables(&["A", "B"], &["A", "B"], &["B", "X", "A"]));
    }

    #[test]
    fn a_false_that_another_manager_removed_is_drift_where_it_is_not_the_default() {
        let fields = json!({"f:metadata": {"f:labels": {"f:app": {}}}});
        let live = live(&fields, &json!({"metadata": {"labels": {"app": "k"}}, "spec": {}}));
        assert!(!matches(&desired(&json!({"automountServiceAccountToken": false})), &live));
        assert!(!matches(&desired(&json!({"runAsUser": 0})), &live));
        assert!(matches(&desired(&json!({"hostNetwork": false})), &live));
    }
}
