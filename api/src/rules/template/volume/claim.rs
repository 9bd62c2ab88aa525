//! The claim of an ephemeral volume.

use std::cmp::Ordering;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, TypedLocalObjectReference,
};
use serde_json::Value;

use super::super::super::field_errors::FieldErrors;
use super::super::labels;
use crate::names;
use crate::quantity::{self, GRAMMAR};

const POD_ALONE: &str = "ReadWriteOncePod";
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", POD_ALONE];

/// `written` is the JSON of the claim's template.
pub(super) fn check(
    template: &PersistentVolumeClaimTemplate,
    written: Option<&Value>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    if let Some(metadata) = &template.metadata {
        let path = format!("{path}.metadata");
        labels::annotations(metadata.annotations.as_ref(), &format!("{path}.annotations"), errors);
        labels::labels(metadata.labels.as_ref(), &format!("{path}.labels"), errors);
    }
    let metadata = written.and_then(|written| written["metadata"].as_object());
    for (name, value) in metadata.into_iter().flatten() {
        if !matches!(name.as_str(), "labels" | "annotations") && !value.is_null() {
            errors.forbidden(format!("{path}.metadata.{name}"), "cannot be set");
        }
    }
    spec(&template.spec, &format!("{path}.spec"), errors);
}

fn spec(claim: &PersistentVolumeClaimSpec, path: &str, errors: &mut FieldErrors<'_>) {
    access_modes(claim.access_modes.as_deref().unwrap_or_default(), &format!("{path}.accessModes"), errors);
    labels::selector(claim.selector.as_ref(), &format!("{path}.selector"), errors);
    let requests = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    storage(requests.and_then(|requests| requests.get("storage")).map(|size| &*size.0), path, errors);
    let classes = [
        ("storageClassName", &claim.storage_class_name),
        ("volumeAttributesClassName", &claim.volume_attributes_class_name),
    ];
    for (field, class) in classes {
        let class = class.as_deref().filter(|class| !class.is_empty());
        errors.follows(format!("{path}.{field}"), class, &names::SUBDOMAIN, labels::SUBDOMAIN);
    }
    errors.one_of(format!("{path}.volumeMode"), claim.volume_mode.as_deref(), &["Block", "Filesystem"]);
    if let Some(source) = &claim.data_source {
        data_source(source, &format!("{path}.dataSource"), errors);
    }
}

fn access_modes(modes: &[String], path: &str, errors: &mut FieldErrors<'_>) {
    if modes.is_empty() {
        errors.required(path, "at least 1 access mode is required");
    }
    for mode in modes {
        errors.one_of(path, Some(mode), &MODES);
    }
    let is_alone = |mode: &String| mode == POD_ALONE;
    let is_shared = |mode: &String| mode != POD_ALONE && MODES.contains(&mode.as_str());
    if modes.iter().any(is_alone) && modes.iter().any(is_shared) {
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn storage(size: Option<&str>, path: &str, errors: &mut FieldErrors<'_>) {
    let field = format!("{path}.resources[storage]");
    match size.map(|size| (size, quantity::sign(size))) {
        None => errors.required(field, ""),
        Some((size, None)) => errors.invalid(field, size, GRAMMAR),
        Some((_, Some(Ordering::Greater))) => {}
        Some((size, Some(_))) => errors.invalid(field, size, "must be greater than zero"),
    }
}

fn data_source(source: &TypedLocalObjectReference, path: &str, errors: &mut FieldErrors<'_>) {
    for (field, text) in [("name", &source.name), ("kind", &source.kind)] {
        if text.is_empty() {
            errors.required(format!("{path}.{field}"), "");
        }
    }
    let has_group = source.api_group.as_deref().is_some_and(|group| !group.is_empty());
    if !has_group && source.kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(path, source.kind.as_str(), detail);
    }
}
