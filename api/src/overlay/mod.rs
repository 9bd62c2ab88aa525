//! The overlay of a group's pod template: spec.consumerSpec.podTemplate, parsed with the newest
//! supported Kubernetes API and merged into the operator's own template as kubectl's strategic
//! merge does. The restrictions on it are rules ([`crate::rules`]).

mod container;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Map, Value};

use crate::field_path;
use crate::parse::{self, Parsed, Removed};
use crate::violation::{Rule, Violation};

/// The path of the overlay in a group.
pub(crate) const PATH: &str = "spec.consumerSpec.podTemplate";

/// An overlay, and what is wrong in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedOverlay {
    /// What can be read of it; `None` if too much of it cannot be read.
    pub overlay: Option<Overlay>,
    /// Every unknown field, every value of a wrong type, and every null that would remove a required
    /// field.
    pub errors: Vec<Violation>,
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
    let Some(path) = path.strip_prefix(PATH).and_then(|path| path.strip_prefix('.')) else { return false };
    let path = field_path::without_indices(path);
    let in_container = ["spec.containers[].", "spec.initContainers[]."]
        .iter()
        .find_map(|containers| path.strip_prefix(containers));
    REQUIRED.contains(&path.as_str())
        || in_container.is_some_and(|field| REQUIRED_IN_CONTAINERS.contains(&field))
}

/// Parses an overlay. What is wrong in it is left out.
pub fn parse(overlay: &Value) -> ParsedOverlay {
    let mut errors = Vec::new();
    let mut set = without_nulls(PATH, overlay, &mut errors).unwrap_or_default();
    let parsed: Parsed<PodTemplateSpec> = parse::parse(&mut set, Rule::PodTemplate, PATH);
    errors.extend(parsed.violations);
    let Some(template) = parsed.object else { return ParsedOverlay { overlay: None, errors } };
    let known = serde_json::to_value(&template).expect("invariant: a PodTemplateSpec serialises");
    find_unknown(PATH, &set, &known, &parsed.removed, &mut errors);
    let nulls = only_nulls(overlay).unwrap_or_default();
    let overlay = (!parsed.removed.has_objects).then_some(Overlay { template, nulls });
    ParsedOverlay { overlay, errors }
}

/// The value without its nulls. Reports those at required fields.
fn without_nulls(path: &str, value: &Value, errors: &mut Vec<Violation>) -> Option<Value> {
    match value {
        Value::Null => {
            if is_required(path) {
                let detail = "null removes the field, but a pod needs it";
                errors.push(Violation::required(Rule::PodTemplate, path, detail));
            }
            None
        }
        Value::Object(fields) => {
            let set = fields
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.clone(), without_nulls(&format!("{path}.{name}"), value, errors)?))
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

/// Reports the fields of `source` that are missing from `parsed`.
fn find_unknown(path: &str, source: &Value, parsed: &Value, removed: &Removed, errors: &mut Vec<Violation>) {
    match (source, parsed) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match parsed.get(name) {
                    Some(parsed) => find_unknown(&path, value, parsed, removed, errors),
                    None => {
                        errors.push(Violation::unknown_field(Rule::PodTemplate, path, "PodTemplateSpec"));
                    }
                }
            }
        }
        (Value::Array(items), Value::Array(parsed)) => {
            for (index, (item, parsed)) in items.iter().zip(parsed).enumerate() {
                let path = format!("{path}[{}]", removed.source_index(path, index));
                find_unknown(&path, item, parsed, removed, errors);
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

    fn overlay_of(overlay: &Value) -> Overlay {
        let parsed = parse(overlay);
        assert_eq!(parsed.errors, []);
        parsed.overlay.expect("the overlay is a template")
    }

    fn sentences(overlay: &Value) -> Vec<String> {
        let sentence =
            |error: &Violation| error.to_string().replacen("spec.consumerSpec.podTemplate.", "", 1);
        parse(overlay).errors.iter().map(sentence).collect()
    }

    fn merged(base: Value, overlay: &Value) -> Value {
        let overlay = overlay_of(overlay);
        serde_json::to_value(overlay.apply_to(base, ContainerMerge::Append).expect("the base is a template"))
            .expect("a template serialises")
    }

    #[test]
    fn every_unknown_field_is_reported_with_its_path() {
        let overlay = json!({"spec": {"contaners": [], "containers": [{"name": "a"}, {"name": "b", "imag": "x"}]}, "metadata": {"creationTimestamp": null}});
        assert_eq!(
            sentences(&overlay),
            ["spec.containers[1].imag", "spec.contaners"]
                .map(|field| format!("{field}: Unknown field: a PodTemplateSpec has no such field"))
        );
    }

    #[test]
    fn every_value_of_a_wrong_type_is_reported_with_the_unknown_fields() {
        let overlay = json!({"spec": {
        "dnsPolicy": 3, "containers": [
            {"name": 3, "args": [8080, "a", true], "ports": "none", "imag": "x"},
            {"name": "b", "env": [{"name": "A", "value": 1}, {"name": "B", "valu": "b"}]},
        ]}});
        assert_eq!(
            sentences(&overlay),
            [
                "spec.containers[0].args[0]: Invalid value: 8080: must be of type string, not integer",
                "spec.containers[0].args[2]: Invalid value: true: must be of type string, not boolean",
                "spec.containers[0].name: Invalid value: 3: must be of type string, not integer",
                "spec.containers[0].ports: Invalid value: \"none\": must be of type array, not string",
                "spec.containers[1].env[0].value: Invalid value: 1: must be of type string, not integer",
                "spec.dnsPolicy: Invalid value: 3: must be of type string, not integer",
                "spec.containers[0].imag: Unknown field: a PodTemplateSpec has no such field",
                "spec.containers[1].env[1].valu: Unknown field: a PodTemplateSpec has no such field",
            ]
        );
        // Behind an item that is no object the indices of a list are those of the source.
        let overlay = json!({"spec": {"containers": ["x", {"name": "b", "imag": "x"}]}});
        assert!(sentences(&overlay)[1].starts_with("spec.containers[1].imag: Unknown"));
        assert_eq!(parse(&overlay).overlay, None);
        assert_eq!(parse(&json!("x")).errors[0].field, PATH);
    }

    #[test]
    fn a_template_with_very_many_wrong_types_lists_the_first_ones() {
        let parsed = parse(&json!({"spec": {"containers": vec![json!({"name": 1}); 100]}}));
        assert_eq!((parsed.errors.len(), &parsed.overlay), (21, &None));
        let last = parsed.errors[20].to_string();
        assert_eq!(last, format!("{PATH}: Invalid value: has more than these 20 values of wrong types"));
    }

    #[test]
    fn quantities_may_be_written_as_numbers() {
        let overlay = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}});
        let template = overlay_of(&overlay);
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
        let mut paths = sentences(&overlay);
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
            needed.map(|path| format!("{path}: Required value: null removes the field, but a pod needs it"))
        );
        for whole in [json!({"spec": null}), json!({"metadata": null}), json!({"spec": {"containers": null}})]
        {
            assert_eq!(parse(&whole).errors.len(), 1, "{whole}");
        }
    }
}
