//! What the API server would refuse in the Deployment that a group makes, with its own paths and
//! words. Refusing it at admission tells the person who writes it; in a stored group the condition
//! Ready repeats the API server's answer.
//!
//! Only what is checked here can be refused here: what depends on the cluster (quotas, Pod Security
//! of the namespace, admission plugins) is left to the API server.

mod claims;
mod container;
mod env;
mod fields;
mod labels;
mod mount;
mod network;
mod pod;
mod probe;
mod resources;
mod restart;
mod scheduling;
mod security;
mod volume;
mod windows;

use std::collections::HashSet;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::field_errors::FieldErrors;
use super::pod::OVERLAY;
use crate::defaults::TERMINATION_GRACE_SECONDS;
use crate::names;
use crate::rule_input::RuleInput;
use crate::spec_bounds::MAX_ENV_ITEMS;
use crate::violation::{Rule, Violation};

use container::ContainerRole;

pub(super) use container::port_name;
pub(super) use labels::selector;
pub(super) use resources::container_resource;

/// Kubernetes' default of terminationGracePeriodSeconds.
const KUBERNETES_GRACE_SECONDS: i64 = 30;
const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// The consumer's own fields are those of a container.
pub(crate) fn consumer_is_a_container(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let consumer = &input.spec.consumer_spec;
    let path = "spec.consumerSpec";
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    // The items of a list that is too long are not validated.
    if consumer.env.len() <= MAX_ENV_ITEMS {
        env::sources(&consumer.env, &format!("{path}.env"), &mut errors);
    }
    if consumer.env_from.len() <= MAX_ENV_ITEMS {
        env::env_from(&consumer.env_from, &format!("{path}.envFrom"), &mut errors);
    }
    if let Some(written) = &consumer.resources {
        let path = format!("{path}.resources");
        let overlaid = input.overlaid_consumer().is_some_and(|container| container.resources.is_some());
        resources::check(written, resources::container_resource, &path, &mut errors);
        // Else what they are together is looked at with the overlay.
        if !overlaid {
            resources::requests_fit(written, None, &path, &mut errors);
        }
        if let Some(limits) = &written.limits {
            pod::consumer_within_pod(input, limits, &format!("{path}.limits"), &mut errors);
        }
        let claims = written.claims.as_deref().unwrap_or_default();
        let of_pod = input.overlaid_pod().and_then(|pod| pod.resource_claims.as_ref());
        let of_pod = of_pod.into_iter().flatten().map(|claim| claim.name.as_str()).collect();
        claims::of_container(claims, &of_pod, &format!("{path}.claims"), &mut errors);
    }
}

/// A pod refers to each Secret once.
pub(crate) fn pull_secrets_are_distinct(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let secrets = input.spec.consumer_spec.image_pull_secrets.iter().map(|secret| secret.name.as_str());
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    errors.distinct("spec.consumerSpec.imagePullSecrets", "name", secrets);
}

/// How long a pod has to end, in seconds: null leaves it to Kubernetes.
fn grace_seconds(input: &RuleInput<'_>, pod: &PodSpec) -> i64 {
    let template = input.spec.consumer_spec.pod_template.as_ref();
    let written = template.and_then(|template| template.pointer("/spec/terminationGracePeriodSeconds"));
    let default = if written.is_some_and(Value::is_null) {
        KUBERNETES_GRACE_SECONDS
    } else {
        TERMINATION_GRACE_SECONDS
    };
    pod.termination_grace_period_seconds.unwrap_or(default)
}

/// The overlay makes a pod that the API server accepts in a Deployment.
pub(crate) fn overlay_makes_a_pod(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(overlay) = input.readable_overlay() else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    if let Some(metadata) = &overlay.template().metadata {
        let path = format!("{OVERLAY}.metadata");
        labels::labels(metadata.labels.as_ref(), &format!("{path}.labels"), &mut errors);
        let (annotations, pod) = (metadata.annotations.as_ref(), overlay.template().spec.as_ref());
        let path = format!("{path}.annotations");
        pod::annotations(annotations, pod, input.container_name(), &path, &mut errors);
    }
    let Some(pod) = &overlay.template().spec else {
        return;
    };
    let path = format!("{OVERLAY}.spec");
    let written =
        input.spec.consumer_spec.pod_template.as_ref().and_then(|template| template.pointer("/spec/volumes"));
    let volumes = volume::check(pod.volumes.as_deref().unwrap_or_default(), written, &path, &mut errors);
    let claims = pod.resource_claims.as_deref().unwrap_or_default();
    let claims = claims::of_pod(claims, &format!("{path}.resourceClaims"), &mut errors);
    pod::check(pod, &path, &mut errors);
    let context = container::Context {
        input,
        volumes,
        claims,
        grace_seconds: grace_seconds(input, pod),
        host_users: pod.host_users.unwrap_or(true),
    };
    container_names(input, pod, &path, &mut errors);
    for (index, container) in pod.containers.iter().enumerate() {
        // Before generateName has made a name, any container may be the consumer's.
        let role = match input.container_name() {
            Some(name) if name == container.name => ContainerRole::Consumer,
            Some(_) => ContainerRole::Sidecar,
            None => ContainerRole::Unknown,
        };
        container::check(container, role, &context, &format!("{path}.containers[{index}]"), &mut errors);
    }
    for (index, container) in pod.init_containers.iter().flatten().enumerate() {
        let path = format!("{path}.initContainers[{index}]");
        container::check(container, ContainerRole::Init, &context, &path, &mut errors);
    }
}

/// Names are distinct among all containers, the consumer's included.
fn container_names(input: &RuleInput<'_>, pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    errors.distinct(
        &format!("{path}.containers"),
        "name",
        pod.containers.iter().map(|one| one.name.as_str()),
    );
    let mut taken: HashSet<&str> = pod.containers.iter().map(|one| one.name.as_str()).collect();
    taken.extend(input.container_name());
    for (index, container) in pod.init_containers.iter().flatten().enumerate() {
        if !taken.insert(&container.name) && !container.name.is_empty() {
            errors.duplicate(format!("{path}.initContainers[{index}].name"), container.name.as_str());
        }
    }
}

/// The id of a user or a group.
fn linux_id(id: Option<i64>, field: String, errors: &mut FieldErrors<'_>) {
    if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        errors.invalid(field, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// A name that is a DNS label.
pub(super) fn dns_label(name: &str, field: String, errors: &mut FieldErrors<'_>) {
    if name.is_empty() {
        errors.required(field, "");
    } else {
        label(name, field, errors);
    }
}

/// A text that is a DNS label.
fn label(text: &str, field: String, errors: &mut FieldErrors<'_>) {
    if text.len() > names::LABEL_LENGTH {
        errors.invalid(field, text, "must be no more than 63 characters");
    } else if text.contains('.') && names::SUBDOMAIN.matches(text) {
        errors.invalid(field, text, "must not contain dots");
    } else {
        errors.follows(field, text, &names::DNS_LABEL, DNS_LABEL);
    }
}

#[cfg(test)]
mod tests;
