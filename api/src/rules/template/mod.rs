//! What the API server would refuse in the Deployment that a group makes, with its own paths and
//! words. Refusing it at admission tells the person who writes it; in a stored group the condition
//! Ready repeats the API server's answer.
//!
//! Only what is checked here can be refused here: what depends on the cluster (quotas, Pod Security
//! of the namespace, admission plugins) is left to the API server.

mod container;
mod env;
mod labels;
mod probe;
mod resources;
mod scheduling;
mod volume;

use std::collections::HashSet;

use k8s_openapi::api::core::v1::PodSpec;

use super::field_errors::FieldErrors;
use super::pod::OVERLAY;
use crate::names;
use crate::rule_input::RuleInput;
use crate::spec_bounds::MAX_ENV_ITEMS;
use crate::violation::{Rule, Violation};

use container::ContainerRole;

pub(super) use labels::selector;
pub(super) use resources::container_resource;

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
    if let Some(resources) = &consumer.resources {
        resources::check(resources, None, &format!("{path}.resources"), &mut errors);
    }
}

/// A pod refers to each Secret once.
pub(crate) fn pull_secrets_are_distinct(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let secrets = input.spec.consumer_spec.image_pull_secrets.iter().map(|secret| secret.name.as_str());
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    errors.distinct("spec.consumerSpec.imagePullSecrets", "name", secrets);
}

/// The overlay makes a pod that the API server accepts in a Deployment.
pub(crate) fn overlay_makes_a_pod(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(Ok(overlay)) = &input.overlay else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    if let Some(metadata) = &overlay.template().metadata {
        let path = format!("{OVERLAY}.metadata");
        labels::labels(metadata.labels.as_ref(), &format!("{path}.labels"), &mut errors);
        labels::annotations(metadata.annotations.as_ref(), &format!("{path}.annotations"), &mut errors);
    }
    let Some(pod) = &overlay.template().spec else {
        return;
    };
    let path = format!("{OVERLAY}.spec");
    let written =
        input.spec.consumer_spec.pod_template.as_ref().and_then(|template| template.pointer("/spec/volumes"));
    let volumes = volume::check(pod.volumes.as_deref().unwrap_or_default(), written, &path, &mut errors);
    pod_fields(pod, &path, &mut errors);
    let context = container::Context { input, volumes };
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

fn pod_fields(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    errors.one_of(format!("{path}.restartPolicy"), pod.restart_policy.as_deref(), &["Always"]);
    if pod.active_deadline_seconds.is_some() {
        let message = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.forbidden(format!("{path}.activeDeadlineSeconds"), message);
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(format!("{path}.dnsPolicy"), pod.dns_policy.as_deref(), &policies);
    let secrets = pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str());
    errors.distinct(&format!("{path}.imagePullSecrets"), "name", secrets);
    let aliases = pod.host_aliases.iter().flatten().map(|alias| alias.ip.as_str());
    errors.distinct(&format!("{path}.hostAliases"), "ip", aliases);
    scheduling::check(pod, path, errors);
    let account = pod.service_account_name.as_deref().filter(|account| !account.is_empty());
    errors.follows(format!("{path}.serviceAccountName"), account, &names::SUBDOMAIN, labels::SUBDOMAIN);
    if let Some(context) = &pod.security_context {
        let path = format!("{path}.securityContext");
        let ids = [
            ("fsGroup", context.fs_group),
            ("runAsUser", context.run_as_user),
            ("runAsGroup", context.run_as_group),
        ];
        for (name, id) in ids {
            linux_id(id, format!("{path}.{name}"), errors);
        }
        for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
            linux_id(Some(*group), format!("{path}.supplementalGroups[{index}]"), errors);
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
    } else if name.len() > names::LABEL_LENGTH {
        errors.invalid(field, name, "must be no more than 63 characters");
    } else {
        errors.follows(field, name, &names::DNS_LABEL, DNS_LABEL);
    }
}

#[cfg(test)]
mod tests;
