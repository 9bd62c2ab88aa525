//! The overlay of a group's pod template: spec.consumerSpec.podTemplate, parsed with the newest
//! supported Kubernetes API and merged into the operator's own template as kubectl's strategic
//! merge does. The restrictions on it are rules ([`crate::rules`]).

mod container;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Map, Value};

use crate::field_path;

/// Why an overlay cannot be parsed. All paths are relative to the pod template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// PodTemplateSpec has no field at this path.
    #[error("a PodTemplateSpec has no field {0}")]
    UnknownField(String),
    /// A value has the wrong type.
    #[error("{path}: {expected}")]
    WrongType {
        /// The path of the value.
        path: String,
        /// The parser's message, which names the expected type.
        expected: String,
    },
    /// The field at this path is null, but a pod needs it.
    #[error("{0} may not be null: a pod needs it")]
    Required(String),
}

/// A parsed overlay: the fields that it sets, and the fields that it removes with null.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    template: PodTemplateSpec,
    /// The nulls of the overlay, each in the objects around it; no other values but the merge keys
    /// of list items.
    nulls: Value,
}

/// How the environment variables and ports of the consumer's container are merged. A change of this
/// changes the pods, so a Deployment keeps the merge with which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerMerge {
    /// A replaced variable moves behind the other variables, and a port replaces another of its
    /// number, whatever their protocols.
    Append,
    /// As kubectl merges: a replaced variable keeps its place, and a port replaces another of its
    /// number and protocol.
    InPlace,
}

/// The fields that a pod needs, so that null may not remove them. `[]` is any item of a list.
const REQUIRED: [&str; 9] = [
    "metadata",
    "metadata.labels",
    "spec",
    "spec.containers",
    "spec.containers[].name",
    "spec.containers[].image",
    "spec.initContainers[].name",
    "spec.initContainers[].image",
    "spec.volumes[].name",
];
/// The fields that each container needs.
const REQUIRED_IN_CONTAINERS: [&str; 4] =
    ["env[].name", "ports[].containerPort", "volumeMounts[].name", "volumeMounts[].mountPath"];

fn is_required(path: &str) -> bool {
    let path = field_path::without_indices(path);
    let in_container = ["spec.containers[].", "spec.initContainers[]."]
        .iter()
        .find_map(|containers| path.strip_prefix(containers));
    REQUIRED.contains(&path.as_str())
        || in_container.is_some_and(|field| REQUIRED_IN_CONTAINERS.contains(&field))
}

/// Parses an overlay. The errors name every unknown field and every null that would remove a
/// required field, or the first value with a wrong type.
pub fn parse(overlay: &Value) -> Result<Overlay, Vec<OverlayError>> {
    let mut errors = Vec::new();
    let set = without_nulls("", overlay, &mut errors).unwrap_or_default();
    let template: PodTemplateSpec = serde_path_to_error::deserialize(&set).map_err(|error| {
        vec![OverlayError::WrongType { path: error.path().to_string(), expected: error.inner().to_string() }]
    })?;
    let parsed = serde_json::to_value(&template).expect("invariant: a PodTemplateSpec serialises");
    find_unknown("", &set, &parsed, &mut errors);
    let nulls = only_nulls(overlay).unwrap_or_default();
    if errors.is_empty() { Ok(Overlay { template, nulls }) } else { Err(errors) }
}

/// The value without its nulls. Reports those at required fields.
fn without_nulls(path: &str, value: &Value, errors: &mut Vec<OverlayError>) -> Option<Value> {
    match value {
        Value::Null => {
            if is_required(path) {
                errors.push(OverlayError::Required(path.to_owned()));
            }
            None
        }
        Value::Object(fields) => {
            let set = fields
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.clone(), without_nulls(&below(path, name), value, errors)?))
                })
                .collect::<Map<_, _>>();
            Some(Value::Object(set))
        }
        Value::Array(items) => {
            // An item of a list cannot be removed: a null there has the wrong type.
            let set = items.iter().enumerate().map(|(index, item)| {
                without_nulls(&format!("{path}[{index}]"), item, errors).unwrap_or_default()
            });
            Some(Value::Array(set.collect()))
        }
        set => Some(set.clone()),
    }
}

/// The nulls of a value, each in the objects around it; `None` if it has none.
fn only_nulls(value: &Value) -> Option<Value> {
    match value {
        Value::Null => Some(Value::Null),
        Value::Object(fields) => {
            let mut nulls: Map<String, Value> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), only_nulls(value)?))).collect();
            if nulls.is_empty() {
                return None;
            }
            for key in MERGE_KEYS {
                if let Some(value) = fields.get(key).filter(|value| !value.is_null()) {
                    nulls.insert(key.to_owned(), value.clone());
                }
            }
            Some(Value::Object(nulls))
        }
        Value::Array(items) => {
            let nulls: Vec<Value> =
                items.iter().filter(|item| item.is_object()).filter_map(only_nulls).collect();
            (!nulls.is_empty()).then_some(Value::Array(nulls))
        }
        _ => None,
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Reports the fields of `source` that are missing from `parsed`.
fn find_unknown(path: &str, source: &Value, parsed: &Value, errors: &mut Vec<OverlayError>) {
    match (source, parsed) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                let path = below(path, name);
                match parsed.get(name) {
                    Some(parsed) => find_unknown(&path, value, parsed, errors),
                    None => errors.push(OverlayError::UnknownField(path)),
                }
            }
        }
        (Value::Array(items), Value::Array(parsed)) => {
            for (index, (item, parsed)) in items.iter().zip(parsed).enumerate() {
                find_unknown(&format!("{path}[{index}]"), item, parsed, errors);
            }
        }
        _ => {}
    }
}

impl Overlay {
    /// The fields that the overlay sets.
    pub fn template(&self) -> &PodTemplateSpec {
        &self.template
    }

    /// Merges the overlay into `base`: maps and keyed lists are merged, other lists are replaced,
    /// and fields that are null here are removed. An environment variable or a volume is replaced
    /// as a whole, because a merge of two (a value and a valueFrom, or two volume sources) would
    /// not be valid. Fails if `base` is not a PodTemplateSpec.
    pub fn apply_to(
        &self,
        mut base: Value,
        merge: ContainerMerge,
    ) -> Result<PodTemplateSpec, serde_json::Error> {
        remove_nulls("", &mut base, &self.nulls);
        let mut base: PodTemplateSpec = serde_json::from_value(base)?;
        let mut overlay = self.template.clone();
        if let (Some(base), Some(overlay)) = (&mut base.spec, &mut overlay.spec) {
            drop_replaced_volumes(base, overlay);
            container::merge(base, overlay, merge);
        }
        base.merge_from(overlay);
        Ok(base)
    }
}

/// Removes from `base` the fields that are null in `overlay`; `field` is the name of both.
fn remove_nulls(field: &str, base: &mut Value, overlay: &Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (name, value) in overlay {
                if value.is_null() {
                    base.remove(name);
                } else if let Some(base) = base.get_mut(name) {
                    remove_nulls(name, base, value);
                }
            }
        }
        (Value::Array(base), Value::Array(overlay)) => {
            let Some(key) = merge_key(field) else { return };
            for item in overlay {
                if let Some(base) = base.iter_mut().find(|base| base.get(key) == item.get(key)) {
                    remove_nulls("", base, item);
                }
            }
        }
        _ => {}
    }
}

/// The merge keys of the lists below.
const MERGE_KEYS: [&str; 2] = ["name", "containerPort"];

/// The merge key of a list, for the lists in which the operator sets items of its own.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" => Some("name"),
        "ports" => Some("containerPort"),
        _ => None,
    }
}

fn drop_replaced_volumes(base: &mut PodSpec, overlay: &PodSpec) {
    let volumes = overlay.volumes.iter().flatten();
    let replaced: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
    base.volumes
        .iter_mut()
        .for_each(|volumes| volumes.retain(|volume| !replaced.contains(&volume.name.as_str())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(base: Value, overlay: &Value) -> Value {
        let overlay = parse(overlay).expect("the overlay is a template");
        serde_json::to_value(overlay.apply_to(base, ContainerMerge::Append).expect("the base is a template"))
            .expect("a template serialises")
    }

    #[test]
    fn every_unknown_field_is_reported_with_its_path() {
        let overlay = json!({"spec": {"contaners": [], "containers": [{"name": "a"}, {"name": "b", "imag": "x"}]}, "metadata": {"creationTimestamp": null}});
        assert_eq!(
            parse(&overlay).unwrap_err(),
            [
                OverlayError::UnknownField("spec.containers[1].imag".into()),
                OverlayError::UnknownField("spec.contaners".into())
            ]
        );
    }

    #[test]
    fn a_value_with_a_wrong_type_is_reported_with_its_path() {
        let error = parse(&json!({"spec": {"containers": [{"name": 3}]}})).unwrap_err().remove(0);
        assert!(error.to_string().starts_with("spec.containers[0].name: invalid type"), "{error}");
    }

    #[test]
    fn quantities_may_be_written_as_numbers() {
        let overlay = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}});
        let template = parse(&overlay).expect("a number is a valid quantity");
        assert_eq!(
            serde_json::to_value(template.template()).unwrap()["spec"]["containers"][0]["resources"]["limits"]
                ["cpu"],
            "1"
        );
    }

    #[test]
    fn containers_merge_by_name_and_a_variable_is_replaced_as_a_whole() {
        let base = json!({"spec": {"containers": [{"name": "main", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}});
        let overlay = json!({"spec": {"containers": [
            {"name": "main", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            {"name": "sidecar", "image": "s"}]}});
        assert_eq!(
            merged(base, &overlay)["spec"]["containers"],
            json!([
                {"name": "main", "image": "i", "env": [
                    {"name": "B", "value": "2"},
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
                {"name": "sidecar", "image": "s"}])
        );
    }

    #[test]
    fn a_volume_is_replaced_as_a_whole() {
        let base = json!({"spec": {"containers": [], "volumes": [{"name": "tmp", "emptyDir": {}}]}});
        let overlay =
            json!({"spec": {"containers": [], "volumes": [{"name": "tmp", "configMap": {"name": "c"}}]}});
        assert_eq!(
            merged(base, &overlay)["spec"]["volumes"],
            json!([{"name": "tmp", "configMap": {"name": "c"}}])
        );
    }

    #[test]
    fn null_removes_one_field_of_the_base_and_nothing_else() {
        let base = json!({"metadata": {"labels": {"app": "k"}}, "spec": {
            "terminationGracePeriodSeconds": 60, "securityContext": {"runAsUser": 1, "fsGroup": 1},
            "containers": [{"name": "main", "image": "i", "securityContext": {"privileged": false},
                "ports": [{"containerPort": 1, "name": "metrics"}]}]}});
        let of = |overlay: &Value| merged(base.clone(), &json!({"spec": overlay}))["spec"].clone();
        let mut want = base["spec"].clone();
        want.as_object_mut().unwrap().remove("terminationGracePeriodSeconds");
        assert_eq!(of(&json!({"terminationGracePeriodSeconds": null, "nodeSelector": null})), want);
        let container = json!({"containers": [
            {"name": "main", "securityContext": null, "ports": [{"containerPort": 1, "name": null}]},
            {"name": "sidecar", "image": "s", "securityContext": null}]});
        assert_eq!(
            of(&container)["containers"],
            json!([{"name": "main", "image": "i", "ports": [{"containerPort": 1}]}, {"name": "sidecar", "image": "s"}])
        );
        assert_eq!(of(&json!({"securityContext": null})).get("securityContext"), None);
        let part = json!({"securityContext": {"runAsUser": null, "fsGroup": 2}});
        assert_eq!(of(&part)["securityContext"], json!({"fsGroup": 2}));
        assert_eq!(
            merged(base.clone(), &json!({"metadata": {"annotations": {"a": null}}}))["spec"],
            base["spec"]
        );
    }

    #[test]
    fn null_at_a_required_field_is_reported_with_its_path() {
        let overlay = json!({"metadata": {"labels": null, "annotations": null}, "spec": {
            "containers": [{"name": "a"}, {"name": null, "env": [{"name": null}], "ports": [{"containerPort": null}]}],
            "initContainers": [{"image": null}], "volumes": [{"name": null}]}});
        let mut paths: Vec<String> = parse(&overlay).unwrap_err().iter().map(ToString::to_string).collect();
        paths.sort();
        let needed = [
            "metadata.labels",
            "spec.containers[1].env[0].name",
            "spec.containers[1].name",
            "spec.containers[1].ports[0].containerPort",
            "spec.initContainers[0].image",
            "spec.volumes[0].name",
        ];
        assert_eq!(paths, needed.map(|path| format!("{path} may not be null: a pod needs it")));
        for whole in [json!({"spec": null}), json!({"metadata": null}), json!({"spec": {"containers": null}})]
        {
            assert_eq!(parse(&whole).unwrap_err().len(), 1, "{whole}");
        }
    }
}
