//! The pod template that a person lays over the operator's own: read with the newest supported API,
//! merged as kubectl's strategic merge does. Floor 0. What it may not ask for is a rule
//! (`rules::pod`).

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde_json::Value;

/// A PodTemplateSpec that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// No PodTemplateSpec has this field. Holds its path below the template.
    #[error("no PodTemplateSpec has the field {0}")]
    UnknownField(String),
    /// A value of the wrong type. Holds the path below the template, and what was expected.
    #[error("{path}: {expected}")]
    WrongType { path: String, expected: String },
    /// A null for what every pod has to have. Holds its path below the template.
    #[error("{0} may not be null: no pod is complete without it")]
    Required(String),
}

/// What a person lays over the operator's own template: the fields that it sets, and those that it takes away.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    template: PodTemplateSpec,
    /// As it was written, with its nulls.
    written: Value,
}

/// What no null may take away, since no pod is complete without it. `[]` is any item of a list.
const NEEDED: [&str; 9] = [
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
/// The same, of each container.
const NEEDED_OF_CONTAINERS: [&str; 4] =
    ["env[].name", "ports[].containerPort", "volumeMounts[].name", "volumeMounts[].mountPath"];

fn is_needed(path: &str) -> bool {
    let mut inside = false;
    let is_kept = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !(inside && c.is_ascii_digit())
    };
    let place: String = path.chars().filter(is_kept).collect();
    let in_container = ["spec.containers[].", "spec.initContainers[]."]
        .iter()
        .find_map(|containers| place.strip_prefix(containers));
    NEEDED.contains(&place.as_str())
        || in_container.is_some_and(|field| NEEDED_OF_CONTAINERS.contains(&field))
}

/// Reads an overlay. The errors name every unknown field and every null that would take a needed one away, or the
/// first value of a wrong type.
pub fn read(overlay: &Value) -> Result<Overlay, Vec<OverlayError>> {
    let mut written = overlay.clone();
    quantities_as_text(&mut written);
    let mut unreadable = Vec::new();
    let mut set = written.clone();
    strip_nulls("", &mut set, &mut unreadable);
    let template: PodTemplateSpec = serde_path_to_error::deserialize(&set).map_err(|error| {
        vec![OverlayError::WrongType { path: error.path().to_string(), expected: error.inner().to_string() }]
    })?;
    let understood = serde_json::to_value(&template).unwrap_or_default();
    missing("", &set, &understood, &mut unreadable);
    if unreadable.is_empty() { Ok(Overlay { template, written }) } else { Err(unreadable) }
}

/// Leaves what is set, and names the nulls that would take away what is needed.
fn strip_nulls(path: &str, value: &mut Value, unreadable: &mut Vec<OverlayError>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let path = below(path, name);
            strip_nulls(&path, value, unreadable);
            if value.is_null() && is_needed(&path) {
                unreadable.push(OverlayError::Required(path));
            }
            !value.is_null()
        }),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                strip_nulls(&format!("{path}[{index}]"), item, unreadable);
            }
        }
        _ => {}
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The fields of `written` that reading it lost.
fn missing(path: &str, written: &Value, understood: &Value, unknown: &mut Vec<OverlayError>) {
    match (written, understood) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                let path = below(path, name);
                match understood.get(name) {
                    Some(understood) => missing(&path, value, understood, unknown),
                    None => unknown.push(OverlayError::UnknownField(path)),
                }
            }
        }
        (Value::Array(items), Value::Array(understood)) => {
            for (index, (item, understood)) in items.iter().zip(understood).enumerate() {
                missing(&format!("{path}[{index}]"), item, understood, unknown);
            }
        }
        _ => {}
    }
}

/// Quantities may be written as numbers (`cpu: 1`), which the API server takes and k8s-openapi does
/// not: turns those below limits, requests, overhead and sizeLimit into text.
pub fn quantities_as_text(value: &mut Value) {
    let text = |value: &mut Value| {
        if value.is_number() {
            *value = Value::String(value.to_string());
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &mut *value) {
                    ("limits" | "requests" | "overhead", Value::Object(quantities)) => {
                        quantities.values_mut().for_each(text);
                    }
                    ("sizeLimit" | "divisor", value) => text(value),
                    (_, value) => quantities_as_text(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_as_text),
        _ => {}
    }
}

impl Overlay {
    /// What it sets.
    pub fn template(&self) -> &PodTemplateSpec {
        &self.template
    }

    /// `base` with this laid over it: maps and keyed lists are merged, other lists replaced, and what is null here is
    /// taken away. What the overlay says of one environment variable or one volume replaces the base's whole, since
    /// half of each (a value and a valueFrom, two sources) would be no valid object. Fails where `base` is no
    /// PodTemplateSpec.
    pub fn apply_to(&self, mut base: Value) -> Result<PodTemplateSpec, serde_json::Error> {
        take_away("", &mut base, &self.written);
        let mut base: PodTemplateSpec = serde_json::from_value(base)?;
        if let (Some(base), Some(overlay)) = (&mut base.spec, &self.template.spec) {
            drop_replaced(base, overlay);
        }
        base.merge_from(self.template.clone());
        Ok(base)
    }
}

/// Takes from `base` what is null in `overlay`; `field` is the name of both.
fn take_away(field: &str, base: &mut Value, overlay: &Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (name, value) in overlay {
                if value.is_null() {
                    base.remove(name);
                } else if let Some(base) = base.get_mut(name) {
                    take_away(name, base, value);
                }
            }
        }
        (Value::Array(base), Value::Array(overlay)) => {
            let Some(key) = merge_key(field) else { return };
            for item in overlay {
                if let Some(base) = base.iter_mut().find(|base| base.get(key) == item.get(key)) {
                    take_away("", base, item);
                }
            }
        }
        _ => {}
    }
}

/// By what the API tells a list's items apart, in the lists whose items are merged with ours.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" => Some("name"),
        "ports" => Some("containerPort"),
        _ => None,
    }
}

fn drop_replaced(base: &mut PodSpec, overlay: &PodSpec) {
    let volumes = overlay.volumes.iter().flatten();
    let replaced: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
    base.volumes
        .iter_mut()
        .for_each(|volumes| volumes.retain(|volume| !replaced.contains(&volume.name.as_str())));
    for container in &overlay.containers {
        if let Some(base) = base.containers.iter_mut().find(|base| base.name == container.name) {
            drop_replaced_env(base, container);
        }
    }
}

fn drop_replaced_env(base: &mut Container, overlay: &Container) {
    let replaced: Vec<&str> = overlay.env.iter().flatten().map(|var| var.name.as_str()).collect();
    base.env.iter_mut().for_each(|env| env.retain(|var| !replaced.contains(&var.name.as_str())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(base: Value, overlay: &Value) -> Value {
        let overlay = read(overlay).expect("the overlay is a template");
        serde_json::to_value(overlay.apply_to(base).expect("the base is a template"))
            .expect("a template serialises")
    }

    #[test]
    fn every_field_that_no_pod_template_has_is_named_by_its_path() {
        let overlay = json!({"spec": {"contaners": [], "containers": [{"name": "a"}, {"name": "b", "imag": "x"}]}, "metadata": {"creationTimestamp": null}});
        assert_eq!(
            read(&overlay).unwrap_err(),
            [
                OverlayError::UnknownField("spec.containers[1].imag".into()),
                OverlayError::UnknownField("spec.contaners".into())
            ]
        );
    }

    #[test]
    fn a_value_of_a_wrong_type_is_named_by_its_path() {
        let error = read(&json!({"spec": {"containers": [{"name": 3}]}})).unwrap_err().remove(0);
        assert!(error.to_string().starts_with("spec.containers[0].name: invalid type"), "{error}");
    }

    #[test]
    fn quantities_may_be_numbers() {
        let overlay = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}});
        let template = read(&overlay).expect("a number is a quantity");
        assert_eq!(
            serde_json::to_value(template.template()).unwrap()["spec"]["containers"][0]["resources"]["limits"]
                ["cpu"],
            "1"
        );
    }

    #[test]
    fn containers_merge_by_name_and_one_variable_is_replaced_whole() {
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
    fn one_volume_is_replaced_whole() {
        let base = json!({"spec": {"containers": [], "volumes": [{"name": "tmp", "emptyDir": {}}]}});
        let overlay =
            json!({"spec": {"containers": [], "volumes": [{"name": "tmp", "configMap": {"name": "c"}}]}});
        assert_eq!(
            merged(base, &overlay)["spec"]["volumes"],
            json!([{"name": "tmp", "configMap": {"name": "c"}}])
        );
    }

    #[test]
    fn null_takes_a_field_of_ours_away_and_nothing_else() {
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
    fn null_for_what_every_pod_has_is_named_by_its_path() {
        let overlay = json!({"metadata": {"labels": null, "annotations": null}, "spec": {
            "containers": [{"name": "a"}, {"name": null, "env": [{"name": null}], "ports": [{"containerPort": null}]}],
            "initContainers": [{"image": null}], "volumes": [{"name": null}]}});
        let mut paths: Vec<String> = read(&overlay).unwrap_err().iter().map(ToString::to_string).collect();
        paths.sort();
        let needed = [
            "metadata.labels",
            "spec.containers[1].env[0].name",
            "spec.containers[1].name",
            "spec.containers[1].ports[0].containerPort",
            "spec.initContainers[0].image",
            "spec.volumes[0].name",
        ];
        assert_eq!(
            paths,
            needed.map(|path| format!("{path} may not be null: no pod is complete without it"))
        );
        for whole in [json!({"spec": null}), json!({"metadata": null}), json!({"spec": {"containers": null}})]
        {
            assert_eq!(read(&whole).unwrap_err().len(), 1, "{whole}");
        }
    }
}
