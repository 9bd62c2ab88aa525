//! One container of the overlay.

use std::collections::{BTreeSet, HashSet};

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::super::field_errors::FieldErrors;
use super::volume::Volumes;
use super::{claims, dns_label, env, mount, probe, resources, restart, security};
use crate::image;
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
    pub(super) volumes: Volumes<'a>,
    /// The names of spec.resourceClaims.
    pub(super) claims: BTreeSet<&'a str>,
    /// How long a pod has to end, in seconds.
    pub(super) grace_seconds: i64,
    /// spec.hostUsers.
    pub(super) host_users: bool,
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
    env::files(
        container.env.as_deref().unwrap_or_default(),
        &context.volumes,
        &format!("{path}.env"),
        errors,
    );
    env::env_from(container.env_from.as_deref().unwrap_or_default(), &format!("{path}.envFrom"), errors);
    mount::check(container, &context.volumes, path, errors);
    if !context.host_users && container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        errors.forbidden(format!("{path}.volumeDevices"), "when `hostUsers` is false");
    }
    if let Some(security) = &container.security_context {
        security::of_container(security, &format!("{path}.securityContext"), errors);
    }
    errors.one_of(format!("{path}.imagePullPolicy"), container.image_pull_policy.as_deref(), &PULL_POLICIES);
    errors.one_of(
        format!("{path}.terminationMessagePolicy"),
        container.termination_message_policy.as_deref(),
        &["File", "FallbackToLogsOnError"],
    );
    if let Some(written) = &container.resources {
        let under = (role == ContainerRole::Consumer).then_some(&context.input.spec.consumer_spec.resources);
        let path = format!("{path}.resources");
        resources::check(written, resources::container_resource, &path, errors);
        resources::requests_fit(written, under.and_then(Option::as_ref), &path, errors);
        let claims = written.claims.as_deref().unwrap_or_default();
        claims::of_container(claims, &context.claims, &format!("{path}.claims"), errors);
    }
    restart::check(container, role == ContainerRole::Init, path, errors);
    if role == ContainerRole::Init && !restart::is_sidecar(container) {
        probe::forbidden(container, path, errors);
    } else {
        probe::check(container, context.grace_seconds, path, errors);
    }
}

fn image(
    container: &Container,
    role: ContainerRole,
    context: &Context<'_>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let written = container.image.as_deref().filter(|image| !image.is_empty());
    if let Some(image) = written {
        image_reference(image, &format!("{path}.image"), errors);
    }
    let has_image = written.is_some();
    let is_ours =
        matches!(role, ContainerRole::Consumer | ContainerRole::Unknown) && container.image.is_none();
    // Without a name it is not known which one it is.
    if has_image || is_ours || container.name.is_empty() {
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

/// The API server accepts any reference in a Deployment. It refuses the pods for whitespace, and the
/// kubelet for the rest.
pub(super) fn image_reference(image: &str, field: &str, errors: &mut FieldErrors<'_>) {
    if image.trim().len() != image.len() {
        errors.invalid(field, image, "must not have leading or trailing whitespace");
    } else if let Some(problem) = image::problem(image) {
        errors.invalid(field, image, &problem);
    }
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
pub(in crate::rules) fn port_name(name: &str) -> Vec<&'static str> {
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
