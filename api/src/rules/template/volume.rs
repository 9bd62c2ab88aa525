//! The volumes of the overlay.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Volume;
use serde_json::Value;

use super::super::field_errors::FieldErrors;
use super::dns_label;
use crate::quantity::{self, GRAMMAR};

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// The order in which the API server looks at the types; it refuses all but the first. A type that
/// is not listed here comes last.
const TYPES: [&str; 8] = [
    "emptyDir",
    "hostPath",
    "secret",
    "nfs",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
    "projected",
];

/// Checks the volumes and returns their names. `written` is their JSON.
pub(super) fn check<'a>(
    volumes: &'a [Volume],
    written: Option<&Value>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        if let Some(written) = written.and_then(|volumes| volumes.get(index)) {
            one_type(written, &path, errors);
        }
        source(volume, &path, errors);
        let field = format!("{path}.name");
        if !names.insert(volume.name.as_str()) && !volume.name.is_empty() {
            errors.duplicate(field.as_str(), volume.name.as_str());
        }
        dns_label(&volume.name, field, errors);
    }
    names
}

/// A volume without a type is an emptyDir.
fn one_type(written: &Value, path: &str, errors: &mut FieldErrors<'_>) {
    let fields = written.as_object().into_iter().flatten();
    let mut types: Vec<&str> = fields
        .filter(|(name, value)| *name != "name" && !value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    types.sort_by_key(|name| TYPES.iter().position(|known| known == name).unwrap_or(TYPES.len()));
    for second in types.iter().skip(1) {
        errors.forbidden(format!("{path}.{second}"), "may not specify more than 1 volume type");
    }
}

fn source(volume: &Volume, path: &str, errors: &mut FieldErrors<'_>) {
    let mode = |mode: Option<i32>, field: &str, errors: &mut FieldErrors<'_>| {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            errors.invalid(format!("{path}.{field}.defaultMode"), mode, FILE_MODE);
        }
    };
    if let Some(secret) = &volume.secret {
        if secret.secret_name.as_deref().is_none_or(str::is_empty) {
            errors.required(format!("{path}.secret.secretName"), "");
        }
        mode(secret.default_mode, "secret", errors);
    }
    if let Some(config_map) = &volume.config_map {
        if config_map.name.is_empty() {
            errors.required(format!("{path}.configMap.name"), "");
        }
        mode(config_map.default_mode, "configMap", errors);
    }
    if let Some(projected) = &volume.projected {
        mode(projected.default_mode, "projected", errors);
    }
    if volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.claim_name.is_empty()) {
        errors.required(format!("{path}.persistentVolumeClaim.claimName"), "");
    }
    let size = volume.empty_dir.as_ref().and_then(|volume| volume.size_limit.as_ref());
    if let Some(size) = size.filter(|size| !quantity::is_quantity(&size.0)) {
        errors.invalid(format!("{path}.emptyDir.sizeLimit"), size.0.as_str(), GRAMMAR);
    }
}
