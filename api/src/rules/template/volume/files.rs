//! The files of a volume: their paths and modes, and the keys and fields that they contain.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath};

use super::super::super::field_errors::FieldErrors;
use super::super::{fields, linux_id};

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// The fields of a pod that a file can contain, in the API server's order.
const POD_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn mode(mode: Option<i32>, field: String, errors: &mut FieldErrors<'_>) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(field, mode, FILE_MODE);
    }
}

/// The mode and the owner of a source's files that set none. `path` is that of the source.
pub(super) fn defaults(
    default_mode: Option<i32>,
    default_user: Option<i64>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    mode(default_mode, format!("{path}.defaultMode"), errors);
    linux_id(default_user, format!("{path}.defaultUser"), errors);
}

/// A path that stays below its volume.
pub(in crate::rules::template) fn descending(path: &str, field: &str, errors: &mut FieldErrors<'_>) {
    if path.starts_with('/') {
        errors.invalid(field, path, "must be a relative path");
    }
    no_backsteps(path, field, errors);
}

pub(in crate::rules::template) fn no_backsteps(path: &str, field: &str, errors: &mut FieldErrors<'_>) {
    if ascends(path) {
        errors.invalid(field, path, "must not contain '..'");
    }
}

/// Whether a path leads above where it starts.
pub(in crate::rules::template) fn ascends(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// A path that stays below its volume and is none of the kubelet's own.
pub(super) fn below_the_volume(path: &str, field: &str, errors: &mut FieldErrors<'_>) {
    descending(path, field, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(field, path, "must not start with '..'");
    }
}

/// The keys of a Secret or a ConfigMap that become files. `path` is that of the source.
pub(super) fn keys(items: Option<&Vec<KeyToPath>>, path: &str, errors: &mut FieldErrors<'_>) {
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = format!("{path}.items[{index}]");
        if item.key.is_empty() {
            errors.required(format!("{path}.key"), "");
        }
        if item.path.is_empty() {
            errors.required(format!("{path}.path"), "");
        }
        below_the_volume(&item.path, &format!("{path}.path"), errors);
        mode(item.mode, format!("{path}.mode"), errors);
        linux_id(item.user, format!("{path}.user"), errors);
    }
}

/// The files of the downward API. The API server names their source, not the item.
pub(super) fn of_the_pod(
    items: Option<&Vec<DownwardAPIVolumeFile>>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for file in items.into_iter().flatten() {
        if file.path.is_empty() {
            errors.required(format!("{path}.path"), "");
        }
        below_the_volume(&file.path, &format!("{path}.path"), errors);
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), resource) => {
                fields::of_pod(field, &POD_FIELDS, &format!("{path}.fieldRef"), errors);
                if resource.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.invalid(path, "resource", detail);
                }
            }
            (None, Some(resource)) => {
                fields::of_container(resource, true, &format!("{path}.resourceFieldRef"), errors);
            }
            (None, None) => errors.required(path, "one of fieldRef and resourceFieldRef is required"),
        }
        mode(file.mode, format!("{path}.mode"), errors);
        linux_id(file.user, format!("{path}.user"), errors);
    }
}
