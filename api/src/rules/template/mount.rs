//! Where a container has its volumes: mounts, and devices for those that are not formatted.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::super::field_errors::FieldErrors;
use super::volume::{Volumes, ascends, descending};

const UNIQUE: &str = "must be unique";

/// `path` is that of the container.
pub(super) fn check(container: &Container, volumes: &Volumes<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    mounts(container, volumes, path, errors);
    devices(container, volumes, path, errors);
}

fn mounts(container: &Container, volumes: &Volumes<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let mut paths = HashSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let VolumeMount { name, mount_path, .. } = mount;
        let path = format!("{path}.volumeMounts[{index}]");
        if name.is_empty() {
            errors.required(format!("{path}.name"), "");
        } else if !volumes.contains_key(name.as_str()) {
            errors.not_found(format!("{path}.name"), name);
        }
        if mount_path.is_empty() {
            errors.required(format!("{path}.mountPath"), "");
        } else if !paths.insert(mount_path.as_str()) {
            errors.invalid(format!("{path}.mountPath"), mount_path.as_str(), UNIQUE);
        }
        if devices.iter().any(|device| device.name == *name) {
            errors.invalid(format!("{path}.name"), name.as_str(), "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.device_path == *mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.invalid(format!("{path}.mountPath"), mount_path.as_str(), detail);
        }
        let options = mount.bind_mount_options.iter().flatten().map(String::as_str);
        errors.distinct_values(&format!("{path}.bindMountOptions"), options);
        sub_paths(mount, &path, errors);
        propagation(mount, &path, errors);
    }
}

fn sub_paths(mount: &VolumeMount, path: &str, errors: &mut FieldErrors<'_>) {
    let is_set = |path: &Option<String>| path.as_deref().is_some_and(|path| !path.is_empty());
    if is_set(&mount.sub_path) && is_set(&mount.sub_path_expr) {
        let message = "subPathExpr and subPath are mutually exclusive";
        errors.invalid(format!("{path}.subPathExpr"), mount.sub_path_expr.clone(), message);
    }
    for (field, below) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
        if let Some(below) = below {
            descending(below, &format!("{path}.{field}"), errors);
        }
    }
}

/// Mounts that leave the container need a privileged one, which no consumer may be.
fn propagation(mount: &VolumeMount, path: &str, errors: &mut FieldErrors<'_>) {
    let propagation = mount.mount_propagation.as_deref();
    let field = format!("{path}.mountPropagation");
    if propagation == Some("Bidirectional") {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.forbidden(field, detail);
    } else {
        errors.one_of(field, propagation, &["Bidirectional", "HostToContainer", "None"]);
    }
    let field = format!("{path}.recursiveReadOnly");
    match mount.recursive_read_only.as_deref() {
        Some("Enabled" | "IfPossible") => {
            if mount.read_only != Some(true) {
                errors.forbidden(field.as_str(), "may only be specified when readOnly is true");
            }
            if propagation.is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(field, detail);
            }
        }
        other => errors.one_of(field, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn devices(container: &Container, volumes: &Volumes<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for (index, device) in container.volume_devices.iter().flatten().enumerate() {
        let path = format!("{path}.volumeDevices[{index}]");
        let (name, device_path) = (device.name.as_str(), device.device_path.as_str());
        let at_name = format!("{path}.name");
        if name.is_empty() {
            errors.required(at_name.as_str(), "");
        } else if !names.insert(name) {
            errors.invalid(at_name.as_str(), name, UNIQUE);
        }
        match volumes.get(name) {
            None => errors.not_found(at_name.as_str(), name),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(at_name.as_str(), name, detail);
            }
            Some(_) => {}
        }
        if mounts.iter().any(|mount| mount.name == name) {
            errors.invalid(at_name, name, "must not already exist in volumeMounts");
        }
        let at_path = format!("{path}.devicePath");
        if device_path.is_empty() {
            errors.required(at_path.as_str(), "");
        } else if ascends(device_path) {
            errors.invalid(at_path.as_str(), device_path, "can not contain backsteps ('..')");
        } else if !paths.insert(device_path) {
            errors.invalid(at_path.as_str(), device_path, UNIQUE);
        }
        if mounts.iter().any(|mount| mount.mount_path == device_path) {
            errors.invalid(at_path, device_path, "must not already exist as a path in volumeMounts");
        }
    }
}
