//! Environment variables and their sources.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector};

use super::super::field_errors::FieldErrors;
use crate::names;
use crate::rules::messages;

const NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const NO_SOURCE: &str =
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
const TWO_SOURCES: &str = "may not have more than one field specified at a time";
/// The fields of a pod that a variable can have, in the API server's order.
const POD_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The variables of a container of the overlay. Two of one name are refused: the API server stores
/// them on creation, and then refuses each server-side apply.
pub(super) fn env(variables: &[EnvVar], path: &str, errors: &mut FieldErrors<'_>) {
    for (index, variable) in variables.iter().enumerate() {
        let field = format!("{path}[{index}].name");
        if variable.name.is_empty() {
            errors.required(field, "");
        } else {
            errors.follows(field, variable.name.as_str(), &names::ENV_NAME, NAME);
        }
        let value = variable.value.as_deref().is_some_and(|value| !value.is_empty());
        if value && variable.value_from.is_some() {
            errors.invalid(format!("{path}[{index}].valueFrom"), "", messages::VALUE_FROM);
        }
    }
    let named = variables.iter().map(|variable| variable.name.as_str());
    errors.distinct(path, "name", named);
    sources(variables, path, errors);
}

/// Each variable with a valueFrom has one source.
pub(super) fn sources(variables: &[EnvVar], path: &str, errors: &mut FieldErrors<'_>) {
    for (index, variable) in variables.iter().enumerate() {
        if let Some(source) = &variable.value_from {
            let has_value = variable.value.as_deref().is_some_and(|value| !value.is_empty());
            value_from(source, has_value, &format!("{path}[{index}].valueFrom"), errors);
        }
    }
}

fn value_from(source: &EnvVarSource, has_value: bool, path: &str, errors: &mut FieldErrors<'_>) {
    let EnvVarSource { config_map_key_ref, field_ref, file_key_ref, resource_field_ref, secret_key_ref } =
        source;
    if let Some(field_ref) = field_ref {
        pod_field(field_ref, &format!("{path}.fieldRef.fieldPath"), errors);
    }
    let keys = [
        ("configMapKeyRef", config_map_key_ref.as_ref().map(|selector| selector.key.as_str())),
        ("secretKeyRef", secret_key_ref.as_ref().map(|selector| selector.key.as_str())),
    ];
    for (name, key) in keys {
        if key.is_some_and(str::is_empty) {
            errors.required(format!("{path}.{name}.key"), "");
        }
    }
    let count = [
        field_ref.is_some(),
        resource_field_ref.is_some(),
        config_map_key_ref.is_some(),
        secret_key_ref.is_some(),
        file_key_ref.is_some(),
    ];
    match count.into_iter().filter(|is_set| *is_set).count() {
        0 => errors.invalid(path, "", NO_SOURCE),
        1 => {}
        // With a value, that is the error.
        _ if has_value => {}
        _ => errors.invalid(path, "", TWO_SOURCES),
    }
}

fn pod_field(selector: &ObjectFieldSelector, field: &str, errors: &mut FieldErrors<'_>) {
    let path = selector.field_path.as_str();
    let has_key = ["metadata.labels['", "metadata.annotations['"]
        .iter()
        .any(|prefix| path.strip_prefix(prefix).is_some_and(|rest| rest.ends_with("']")));
    if path.is_empty() {
        errors.required(field, "");
    } else if !has_key && !POD_FIELDS.contains(&path) {
        let message = format!("error converting fieldPath: field label not supported: {path}");
        errors.invalid(field, path, &message);
    }
}

/// Each source of variables is one.
pub(super) fn env_from(sources: &[EnvFromSource], path: &str, errors: &mut FieldErrors<'_>) {
    for (index, source) in sources.iter().enumerate() {
        let prefix = source.prefix.as_deref().filter(|prefix| !prefix.is_empty());
        errors.follows(format!("{path}[{index}].prefix"), prefix, &names::ENV_NAME, NAME);
        let named = [
            ("configMapRef", source.config_map_ref.as_ref().map(|source| source.name.as_str())),
            ("secretRef", source.secret_ref.as_ref().map(|source| source.name.as_str())),
        ];
        for (kind, name) in named {
            if name.is_some_and(str::is_empty) {
                errors.required(format!("{path}[{index}].{kind}.name"), "");
            }
        }
        // The API server names the list here, not the item.
        match named.iter().filter(|(_, name)| name.is_some()).count() {
            0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(path, "", TWO_SOURCES),
        }
    }
}
