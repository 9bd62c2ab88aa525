//! One container of the overlay.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, VolumeMount};

use super::super::field_errors::FieldErrors;
use super::{dns_label, env, linux_id, probe, resources};
use crate::names;
use crate::rule_input::RuleInput;
use crate::rules::consumer::PULL_POLICIES;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PORT_NUMBER: &str = "must be between 1 and 65535, inclusive";

/// What a container of the overlay is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerRole {
    /// The consumer's container, which has the operator's fields, too.
    Consumer,
    Sidecar,
    Init,
    /// The consumer's container or a sidecar: the group has no name yet.
    Unknown,
}

/// What the containers have in common.
pub(super) struct Context<'a> {
    pub(super) input: &'a RuleInput<'a>,
    /// The names of the volumes.
    pub(super) volumes: HashSet<&'a str>,
}

pub(super) fn check(
    container: &Container,
    role: ContainerRole,
    context: &Context<'_>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    dns_label(&container.name, format!("{path}.name"), errors);
    image(container, role, context, path, errors);
    ports(container, role, context, &format!("{path}.ports"), errors);
    env::env(container.env.as_deref().unwrap_or_default(), &format!("{path}.env"), errors);
    env::env_from(container.env_from.as_deref().unwrap_or_default(), &format!("{path}.envFrom"), errors);
    mounts(container, context, path, errors);
    if let Some(security) = &container.security_context {
        linux_id(security.run_as_user, format!("{path}.securityContext.runAsUser"), errors);
        linux_id(security.run_as_group, format!("{path}.securityContext.runAsGroup"), errors);
    }
    errors.one_of(format!("{path}.imagePullPolicy"), container.image_pull_policy.as_deref(), &PULL_POLICIES);
    errors.one_of(
        format!("{path}.terminationMessagePolicy"),
        container.termination_message_policy.as_deref(),
        &["File", "FallbackToLogsOnError"],
    );
    if let Some(written) = &container.resources {
        let under = (role == ContainerRole::Consumer).then_some(&context.input.spec.consumer_spec.resources);
        resources::check(written, under.and_then(Option::as_ref), &format!("{path}.resources"), errors);
    }
    if role == ContainerRole::Init && container.restart_policy.as_deref() != Some("Always") {
        probe::forbidden(container, path, errors);
    } else {
        probe::check(container, path, errors);
    }
}

fn image(
    container: &Container,
    role: ContainerRole,
    context: &Context<'_>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    // The API server refuses the pods for it, not the Deployment.
    if let Some(image) = container.image.as_deref().filter(|image| image.trim().len() != image.len()) {
        let detail = "must not have leading or trailing whitespace";
        errors.invalid(format!("{path}.image"), image, detail);
    }
    let has_image = container.image.as_deref().is_some_and(|image| !image.is_empty());
    let is_ours =
        matches!(role, ContainerRole::Consumer | ContainerRole::Unknown) && container.image.is_none();
    if has_image || is_ours {
        return;
    }
    let detail = match context.input.container_name().filter(|_| role == ContainerRole::Sidecar) {
        Some(consumer) => {
            format!("container {:?} is not the consumer ({consumer:?}) and has no image", container.name)
        }
        None => String::new(),
    };
    errors.required(format!("{path}.image"), &detail);
}

/// Names are distinct, with the operator's port `metrics` among those of the consumer.
fn ports(
    container: &Container,
    role: ContainerRole,
    context: &Context<'_>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let key = |port: &ContainerPort| {
        (port.container_port, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()))
    };
    let metrics = &context.input.spec.metrics;
    let ours = (metrics.port(), "TCP".to_owned());
    let ports = container.ports.as_deref().unwrap_or_default();
    // A port of the same number and protocol replaces ours, its name included.
    let renamed = ports.iter().any(|port| key(port) == ours && port.name.is_some());
    let mut names: HashSet<&str> = HashSet::new();
    if role == ContainerRole::Consumer && !renamed {
        names.insert(names::METRICS_PORT_NAME);
    }
    let mut keys = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let wrong = port_name(name);
            if wrong.is_empty() && !names.insert(name) {
                errors.duplicate(format!("{path}.name"), name);
            }
            for message in wrong {
                errors.invalid(format!("{path}.name"), name, message);
            }
        }
        match port.container_port {
            0 => errors.required(format!("{path}.containerPort"), ""),
            1..=65535 if !keys.insert(key(port)) => {
                errors.duplicate(format!("{path}.containerPort"), port.container_port);
            }
            1..=65535 => {}
            number => errors.invalid(format!("{path}.containerPort"), number, PORT_NUMBER),
        }
        errors.one_of(format!("{path}.protocol"), port.protocol.as_deref(), &PROTOCOLS);
    }
}

/// What is wrong with a port's name, an IANA service name.
pub(super) fn port_name(name: &str) -> Vec<&'static str> {
    let is_letter = |c: char| c.is_ascii_lowercase();
    let has_charset = name.chars().all(|c| is_letter(c) || c.is_ascii_digit() || c == '-');
    let checks = [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            !has_charset || name.is_empty(),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!name.chars().any(is_letter), "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, message)| message).collect()
}

/// A path that stays below its volume.
fn descending(path: &str, field: String, errors: &mut FieldErrors<'_>) {
    if path.starts_with('/') {
        errors.invalid(field, path, "must be a relative path");
    } else if path.split('/').any(|part| part == "..") {
        errors.invalid(field, path, "must not contain '..'");
    }
}

fn mounts(container: &Container, context: &Context<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    let mut paths = HashSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let VolumeMount { name, mount_path, .. } = mount;
        let path = format!("{path}.volumeMounts[{index}]");
        if name.is_empty() {
            errors.required(format!("{path}.name"), "");
        } else if !context.volumes.contains(name.as_str()) {
            errors.not_found(format!("{path}.name"), name);
        }
        if mount_path.is_empty() {
            errors.required(format!("{path}.mountPath"), "");
        } else if !paths.insert(mount_path.as_str()) {
            errors.invalid(format!("{path}.mountPath"), mount_path.as_str(), "must be unique");
        }
        let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
        if let Some(expression) =
            mount.sub_path_expr.as_deref().filter(|path| !path.is_empty() && sub_path.is_some())
        {
            let message = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(format!("{path}.subPathExpr"), expression, message);
        }
        for (field, below) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if let Some(below) = below {
                descending(below, format!("{path}.{field}"), errors);
            }
        }
    }
    let devices = container.volume_devices.iter().flatten();
    for (index, device) in devices.clone().enumerate() {
        if !context.volumes.contains(device.name.as_str()) {
            errors.not_found(format!("{path}.volumeDevices[{index}].name"), &device.name);
        }
    }
    errors.distinct(
        &format!("{path}.volumeDevices"),
        "devicePath",
        devices.map(|device| device.device_path.as_str()),
    );
}
