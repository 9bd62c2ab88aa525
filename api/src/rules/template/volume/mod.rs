//! The volumes of the overlay.

mod claim;
mod files;
mod projected;

use std::cmp::Ordering;
use std::collections::HashMap;

use k8s_openapi::api::core::v1::{CSIVolumeSource, Volume};
use serde_json::Value;

use super::super::field_errors::FieldErrors;
use super::container::image_reference;
use super::{dns_label, labels};
use crate::names;
use crate::quantity::{self, GRAMMAR};
use crate::rules::consumer::PULL_POLICIES;

pub(super) use files::{ascends, descending, no_backsteps};

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

/// The volumes by name.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Volume>;

/// Whether the API server makes it an emptyDir.
pub(super) fn is_untyped(volume: &Volume) -> bool {
    *volume == Volume { name: volume.name.clone(), ..Volume::default() }
}

/// Checks the volumes and returns them. `written` is their JSON.
pub(super) fn check<'a>(
    volumes: &'a [Volume],
    written: Option<&Value>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) -> Volumes<'a> {
    let mut named = HashMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let written = written.and_then(|volumes| volumes.get(index));
        if let Some(written) = written {
            one_type(written, &path, errors);
        }
        source(volume, &path, errors);
        if let Some(ephemeral) = &volume.ephemeral {
            let path = format!("{path}.ephemeral.volumeClaimTemplate");
            let written = written.and_then(|written| written.pointer("/ephemeral/volumeClaimTemplate"));
            match &ephemeral.volume_claim_template {
                Some(template) => claim::check(template, written, &path, errors),
                None => errors.required(path, ""),
            }
        }
        let field = format!("{path}.name");
        if named.insert(volume.name.as_str(), volume).is_some() && !volume.name.is_empty() {
            errors.duplicate(field.as_str(), volume.name.as_str());
        }
        dns_label(&volume.name, field, errors);
    }
    named
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
    if let Some(secret) = &volume.secret {
        let path = format!("{path}.secret");
        if secret.secret_name.as_deref().is_none_or(str::is_empty) {
            errors.required(format!("{path}.secretName"), "");
        }
        files::defaults(secret.default_mode, secret.default_user, &path, errors);
        files::keys(secret.items.as_ref(), &path, errors);
    }
    if let Some(config_map) = &volume.config_map {
        let path = format!("{path}.configMap");
        if config_map.name.is_empty() {
            errors.required(format!("{path}.name"), "");
        }
        files::defaults(config_map.default_mode, config_map.default_user, &path, errors);
        files::keys(config_map.items.as_ref(), &path, errors);
    }
    if let Some(api) = &volume.downward_api {
        let path = format!("{path}.downwardAPI");
        files::defaults(api.default_mode, api.default_user, &path, errors);
        files::of_the_pod(api.items.as_ref(), &path, errors);
    }
    if let Some(projected) = &volume.projected {
        projected::check(projected, &format!("{path}.projected"), errors);
    }
    other_source(volume, path, errors);
}

fn other_source(volume: &Volume, path: &str, errors: &mut FieldErrors<'_>) {
    if volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.claim_name.is_empty()) {
        errors.required(format!("{path}.persistentVolumeClaim.claimName"), "");
    }
    if let Some(size) = volume.empty_dir.as_ref().and_then(|volume| volume.size_limit.as_ref()) {
        let field = format!("{path}.emptyDir.sizeLimit");
        match quantity::sign(&size.0) {
            None => errors.invalid(field, size.0.as_str(), GRAMMAR),
            Some(Ordering::Less) => {
                errors.forbidden(field, "SizeLimit field must be a valid resource quantity");
            }
            Some(_) => {}
        }
    }
    if let Some(nfs) = &volume.nfs {
        for (field, text) in [("server", &nfs.server), ("path", &nfs.path)] {
            if text.is_empty() {
                errors.required(format!("{path}.nfs.{field}"), "");
            }
        }
        if !nfs.path.starts_with('/') {
            errors.invalid(format!("{path}.nfs.path"), nfs.path.as_str(), "must be an absolute path");
        }
    }
    if let Some(csi) = &volume.csi {
        csi_driver(csi, &format!("{path}.csi"), errors);
    }
    if let Some(image) = &volume.image {
        let field = format!("{path}.image.reference");
        match image.reference.as_deref().filter(|reference| !reference.is_empty()) {
            Some(reference) => image_reference(reference, &field, errors),
            None => errors.required(field, ""),
        }
        errors.one_of(format!("{path}.image.pullPolicy"), image.pull_policy.as_deref(), &PULL_POLICIES);
    }
}

fn csi_driver(csi: &CSIVolumeSource, path: &str, errors: &mut FieldErrors<'_>) {
    let field = format!("{path}.driver");
    if csi.driver.is_empty() {
        errors.required(field, "");
    } else if !names::SUBDOMAIN.matches(&csi.driver.to_lowercase()) {
        errors.invalid(field, csi.driver.as_str(), labels::SUBDOMAIN);
    }
    match csi.node_publish_secret_ref.as_ref().map(|secret| secret.name.as_str()) {
        Some("") => errors.required(format!("{path}.nodePublishSecretRef.name"), ""),
        // The API server leaves out which name is meant.
        name => errors.follows(format!("{path}.name"), name, &names::SUBDOMAIN, labels::SUBDOMAIN),
    }
}
