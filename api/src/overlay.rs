//! The pod template that a person lays over the operator's own: read with the newest supported API,
//! merged as kubectl's strategic merge does. Floor 0. What it may not ask for is a rule
//! (`rules::pod`).

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde_json::Value;

/// A PodTemplateSpec that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No PodTemplateSpec has this field. Holds its path below the template.
    #[error("no PodTemplateSpec has the field {0}")]
    UnknownField(String),
    /// A value of the wrong type. Holds the path below the template, and what was expected.
    #[error("{path}: {expected}")]
    WrongType { path: String, expected: String },
}

/// Reads an overlay. The errors name every unknown field, or the first value of a wrong type.
pub fn read(overlay: &Value) -> Result<PodTemplateSpec, Vec<Unreadable>> {
    let mut overlay = overlay.clone();
    quantities_as_text(&mut overlay);
    let template: PodTemplateSpec = serde_path_to_error::deserialize(&overlay).map_err(|error| {
        vec![Unreadable::WrongType { path: error.path().to_string(), expected: error.inner().to_string() }]
    })?;
    let understood = serde_json::to_value(&template).unwrap_or_default();
    let mut unknown = Vec::new();
    missing("", &overlay, &understood, &mut unknown);
    if unknown.is_empty() { Ok(template) } else { Err(unknown) }
}

/// The fields of `written` that reading it lost. A null says nothing, so it loses nothing.
fn missing(path: &str, written: &Value, understood: &Value, unknown: &mut Vec<Unreadable>) {
    match (written, understood) {
        (Value::Object(fields), _) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match understood.get(name) {
                    Some(understood) => missing(&path, value, understood, unknown),
                    None => unknown.push(Unreadable::UnknownField(path)),
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

/// Lays `overlay` over `base`: maps and keyed lists are merged, other lists replaced. What the overlay
/// says of one environment variable or one volume replaces the base's whole, since half of each (a
/// value and a valueFrom, two sources) would be no valid object.
pub fn merge(base: &mut PodTemplateSpec, overlay: PodTemplateSpec) {
    if let (Some(base), Some(overlay)) = (&mut base.spec, &overlay.spec) {
        drop_replaced(base, overlay);
    }
    base.merge_from(overlay);
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
        let mut base: PodTemplateSpec = serde_json::from_value(base).expect("the base is a template");
        merge(&mut base, read(overlay).expect("the overlay is a template"));
        serde_json::to_value(base).expect("a template serialises")
    }

    #[test]
    fn every_field_that_no_pod_template_has_is_named_by_its_path() {
        let overlay = json!({"spec": {"contaners": [], "containers": [{"name": "a"}, {"name": "b", "imag": "x"}]}, "metadata": {"creationTimestamp": null}});
        assert_eq!(
            read(&overlay).unwrap_err(),
            [
                Unreadable::UnknownField("spec.containers[1].imag".into()),
                Unreadable::UnknownField("spec.contaners".into())
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
            serde_json::to_value(template).unwrap()["spec"]["containers"][0]["resources"]["limits"]["cpu"],
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
}
