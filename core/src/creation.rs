//! The managedFields of a child that was created, and how it becomes one that is applied.
//!
//! A child is created by POST: if an object of its name exists at that moment, the API server
//! refuses the request and changes nothing. In managedFields the creator has an entry with the
//! operation Update, and in it every field that the API server filled in, too. An apply does not
//! remove a field that another entry owns. So the entry of the creation is made the Apply entry, or
//! is removed if there is one, before the first apply that leaves out a field.
//!
//! The name of the field manager that creates ends with a hash of the fields that it sent. They
//! tell fields that are no longer desired from those that the API server filled in, without a
//! request and after a restart, too.

use kcg_api::names;
use serde_json::{Map, Value, json};

use crate::children::{ChildKind, stable_hash};

/// How the field manager's name of a creation starts. The hash follows.
const CREATOR: &str = "kconsumer-group-operator-created-";

/// A hash of the fields of a desired object: of the keys of its maps, and of its lists as a whole.
/// It stays while only values outside of lists change, so the API server removes nothing then.
pub type Shape = u32;

/// The hash of the fields of a desired object.
pub fn shape(desired: &Value) -> Shape {
    stable_hash(&without_values(desired))
}

fn without_values(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), without_values(value)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Array(_) => value.clone(),
        _ => Value::Null,
    }
}

/// The field manager that creates a desired object.
pub fn creator(desired: &Value) -> String {
    format!("{CREATOR}{:08x}", shape(desired))
}

/// The creator's entry in managedFields, while a child has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The index of the entry.
    index: u16,
    /// Of the object that was sent.
    shape: Shape,
    /// The operator has applied the child since: it has an Apply entry, too.
    is_applied: bool,
}

impl Creation {
    /// The creation of a live object; `None` if no entry of it is left.
    pub fn of(live: &Value) -> Option<Self> {
        let entries = live.pointer("/metadata/managedFields")?.as_array()?;
        let (index, shape) =
            entries.iter().enumerate().find_map(|(index, entry)| Some((index, entry_shape(entry)?)))?;
        Some(Self { index: u16::try_from(index).ok()?, shape, is_applied: entries.iter().any(is_applied) })
    }

    /// Whether an apply of `desired` would leave something behind: it does not have the fields of the
    /// object that was sent. Each apply so far had them, or the entry would be gone.
    pub fn outlives(&self, desired: &Value) -> bool {
        self.shape != shape(desired)
    }

    /// The JSON patch that ends the creation of the object of this uid: it removes the entry, or makes
    /// it the Apply entry if there is none. It changes managedFields alone.
    pub fn end(&self, uid: &str, kind: ChildKind) -> Value {
        let entry = format!("/metadata/managedFields/{}", self.index);
        let manager = format!("{CREATOR}{:08x}", self.shape);
        // The patch is rejected if another object has the name, or the entry is elsewhere.
        let mut patch = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": uid}),
            json!({"op": "test", "path": format!("{entry}/manager"), "value": manager}),
            json!({"op": "test", "path": format!("{entry}/operation"), "value": "Update"}),
        ];
        if self.is_applied {
            patch.push(json!({"op": "remove", "path": entry}));
            return Value::Array(patch);
        }
        patch.extend([
            json!({"op": "replace", "path": format!("{entry}/manager"), "value": names::OPERATOR}),
            json!({"op": "replace", "path": format!("{entry}/operation"), "value": "Apply"}),
        ]);
        if kind == ChildKind::Deployment {
            // The number of pods belongs to the autoscaler: an apply without it would reset it to 1.
            // The first operation makes the second one possible in every case. The entry always has
            // fields of the spec, because the selector is immutable.
            let replicas = format!("{entry}/fieldsV1/f:spec/f:replicas");
            patch.extend([
                json!({"op": "add", "path": replicas, "value": {}}),
                json!({"op": "remove", "path": replicas}),
            ]);
        }
        Value::Array(patch)
    }
}

/// Whether an entry of managedFields is that of the operator's applies.
pub(crate) fn is_applied(entry: &Value) -> bool {
    entry["manager"] == names::OPERATOR && entry["operation"] == "Apply" && entry["subresource"].is_null()
}

/// The shape of the object that was sent, if this is the entry of a creation.
pub(crate) fn entry_shape(entry: &Value) -> Option<Shape> {
    let hash = entry["manager"].as_str()?.strip_prefix(CREATOR).filter(|hash| hash.len() == 8)?;
    let is_creation = entry["operation"] == "Update" && entry["subresource"].is_null();
    Shape::from_str_radix(hash, 16).ok().filter(|_| is_creation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired() -> Value {
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"max": 1, "ports": [{"port": 1}], "set": {"x": "y"}}})
    }

    fn entry(manager: &str, operation: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {}}})
    }

    fn live(entries: &[Value]) -> Value {
        json!({"metadata": {"uid": "u", "managedFields": entries}})
    }

    /// The object after the patch, or why it is rejected.
    fn patched(live: &Value, patch: Value) -> Result<Value, String> {
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let mut live = live.clone();
        json_patch::patch(&mut live, &patch).map_err(|error| error.to_string())?;
        Ok(live["metadata"]["managedFields"].clone())
    }

    #[test]
    fn the_shape_follows_keys_and_lists_and_no_other_values() {
        let same = |pointer: &str, value: Value| {
            let mut changed = desired();
            *changed.pointer_mut(pointer).unwrap() = value;
            shape(&changed) == shape(&desired())
        };
        assert!(same("/spec/max", json!(2)) && same("/metadata/labels/a", json!("c")));
        assert!(!same("/spec/ports/0/port", json!(2)) && !same("/spec/ports", json!([])));
        assert!(!same("/spec/set", json!({})) && !same("/metadata/labels", json!({"c": "b"})));
        // It is stored in managedFields, so it must never change.
        assert_eq!(creator(&desired()), "kconsumer-group-operator-created-bcbb234e");
    }

    #[test]
    fn the_entry_outlives_an_apply_that_leaves_out_a_field_and_becomes_its_own_first() {
        let kubectl = entry("kubectl", "Apply");
        let live = live(&[kubectl.clone(), entry(&creator(&desired()), "Update")]);
        let creation = Creation::of(&live).unwrap();
        let mut wanted = desired();
        wanted["spec"]["max"] = json!(9);
        assert!(!creation.outlives(&wanted));
        wanted["spec"].as_object_mut().unwrap().remove("max");
        assert!(creation.outlives(&wanted));
        let patch = creation.end("u", ChildKind::Service);
        assert_eq!(patched(&live, patch.clone()), Ok(json!([kubectl, entry(names::OPERATOR, "Apply")])));

        let mut another = live.clone();
        another["metadata"]["uid"] = json!("other");
        patched(&another, patch.clone()).unwrap_err();
        let mut moved = live;
        moved["metadata"]["managedFields"].as_array_mut().unwrap().remove(0);
        patched(&moved, patch).unwrap_err();
    }

    #[test]
    fn the_number_of_pods_is_no_field_of_the_apply_entry() {
        for fields in [json!({"f:replicas": {}, "f:paused": {}}), json!({"f:paused": {}})] {
            let mut created = entry(&creator(&desired()), "Update");
            created["fieldsV1"]["f:spec"] = fields;
            let live = live(&[created]);
            let patch = Creation::of(&live).unwrap().end("u", ChildKind::Deployment);
            assert_eq!(patched(&live, patch).unwrap()[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
        }
    }

    #[test]
    fn an_entry_beside_an_apply_entry_is_removed() {
        let applied = entry(names::OPERATOR, "Apply");
        let live = live(&[applied.clone(), entry(&creator(&desired()), "Update")]);
        let patch = Creation::of(&live).unwrap().end("u", ChildKind::Deployment);
        assert_eq!(patched(&live, patch), Ok(json!([applied])));
    }

    #[test]
    fn an_entry_of_another_name_or_operation_is_none_of_a_creation() {
        let creator = creator(&desired());
        let mut of_status = entry(&creator, "Update");
        of_status["subresource"] = json!("status");
        for other in [
            entry(names::OPERATOR, "Update"),
            entry(&creator, "Apply"),
            entry(&format!("{creator}0"), "Update"),
            entry(&format!("{CREATOR}-1234567"), "Update"),
            of_status,
        ] {
            assert_eq!(Creation::of(&live(std::slice::from_ref(&other))), None, "{other}");
        }
        assert_eq!(Creation::of(&json!({})), None);
    }
}
