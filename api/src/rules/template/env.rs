//! Environment variables and their sources.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, FileKeySelector};

use super::super::field_errors::FieldErrors;
use super::volume::{self, Volumes, no_backsteps};
use super::{dns_label, fields, labels};
use crate::messages;
use crate::names;

const NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const NO_SOURCE: &str =
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
const TWO_SOURCES: &str = "may not have more than one field specified at a time";
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
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
    if let Some(field) = field_ref {
        fields::of_pod(field, &POD_FIELDS, &format!("{path}.fieldRef"), errors);
    }
    if let Some(resource) = resource_field_ref {
        fields::of_container(resource, false, &format!("{path}.resourceFieldRef"), errors);
    }
    if let Some(key) = config_map_key_ref {
        object_key(&key.name, &key.key, &format!("{path}.configMapKeyRef"), errors);
    }
    if let Some(key) = secret_key_ref {
        object_key(&key.name, &key.key, &format!("{path}.secretKeyRef"), errors);
    }
    if let Some(key) = file_key_ref {
        file_key(key, &format!("{path}.fileKeyRef"), errors);
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

/// The key of a Secret or a ConfigMap. Names were once optional, so an empty one is allowed.
fn object_key(name: &str, key: &str, path: &str, errors: &mut FieldErrors<'_>) {
    let name = Some(name).filter(|name| !name.is_empty());
    errors.follows(format!("{path}.name"), name, &names::SUBDOMAIN, labels::SUBDOMAIN);
    let field = format!("{path}.key");
    match key {
        "" => errors.required(field, ""),
        "." => errors.invalid(field, key, "must not be '.'"),
        ".." => errors.invalid(field, key, "must not be '..'"),
        _ if key.starts_with("..") => errors.invalid(field, key, "must not start with '..'"),
        _ => errors.follows(field, key, &names::DATA_KEY, KEY),
    }
}

fn file_key(file: &FileKeySelector, path: &str, errors: &mut FieldErrors<'_>) {
    let key = format!("{path}.key");
    if file.key.is_empty() {
        errors.required(key, "");
    } else {
        errors.follows(key, file.key.as_str(), &names::ENV_NAME, NAME);
    }
    dns_label(&file.volume_name, format!("{path}.volumeName"), errors);
    if file.path.is_empty() {
        errors.required(format!("{path}.path"), "");
    } else {
        no_backsteps(&file.path, &format!("{path}.path"), errors);
    }
}

/// Variables that are read from files come from an emptyDir of the pod.
pub(super) fn files(variables: &[EnvVar], volumes: &Volumes<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    for (index, variable) in variables.iter().enumerate() {
        let Some(file) = variable.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref()) else {
            continue;
        };
        let field = format!("{path}[{index}].valueFrom.fileKeyRef.volumeName");
        match volumes.get(file.volume_name.as_str()) {
            None => errors.not_found(field, &file.volume_name),
            // A volume without a type is an emptyDir.
            Some(volume) if volume.empty_dir.is_some() || volume::is_untyped(volume) => {}
            Some(_) => {
                let detail = "referenced volume must be of type emptyDir";
                errors.invalid(field, file.volume_name.as_str(), detail);
            }
        }
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
            let field = format!("{path}[{index}].{kind}.name");
            match name {
                Some("") => errors.required(field, ""),
                name => errors.follows(field, name, &names::SUBDOMAIN, labels::SUBDOMAIN),
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
