//! The fields of the pod itself.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::field_errors::FieldErrors;
use super::{labels, network, resources, scheduling, security};
use crate::names;
use crate::quantity;
use crate::rule_input::RuleInput;
use crate::rules::pod::containers;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The annotations that the API server reads. `consumer` is the name of the consumer's container.
pub(super) fn annotations(
    annotations: Option<&BTreeMap<String, String>>,
    pod: Option<&PodSpec>,
    consumer: Option<&str>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    labels::annotations(annotations, path, errors);
    for (name, value) in annotations.into_iter().flatten() {
        let field = || format!("{path}[{name}]");
        if name == DELETION_COST && !is_deletion_cost(value) {
            errors.invalid(field(), value.as_str(), "must be a 32bit integer");
        }
        let Some(container) = name.strip_prefix(APP_ARMOR) else { continue };
        let is_known = |name: &str| {
            name == container || pod.is_some_and(|pod| containers(pod).any(|(_, one)| one.name == container))
        };
        // Before generateName has made a name, any container may be the consumer's.
        if consumer.is_some_and(|consumer| !is_known(consumer)) {
            errors.invalid(field(), container, "container not found");
        }
    }
}

/// Without a plus sign or leading zeros.
fn is_deletion_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|cost| cost.to_string() == text || text == "-0")
}

pub(super) fn check(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    errors.one_of(format!("{path}.restartPolicy"), pod.restart_policy.as_deref(), &["Always"]);
    if pod.active_deadline_seconds.is_some() {
        let message = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.forbidden(format!("{path}.activeDeadlineSeconds"), message);
    }
    let secrets = pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str());
    errors.distinct(&format!("{path}.imagePullSecrets"), "name", secrets);
    let responders = pod.eviction_responders.iter().flatten().map(|responder| responder.name.as_str());
    errors.distinct(&format!("{path}.evictionResponders"), "name", responders);
    network::check(pod, path, errors);
    scheduling::check(pod, path, errors);
    object_names(pod, path, errors);
    gates(pod, path, errors);
    if let Some(context) = &pod.security_context {
        security::of_pod(context, &format!("{path}.securityContext"), errors);
    }
    operating_system(pod, path, errors);
    whole_resources(pod, path, errors);
    // The API server takes the overhead for limits, in the path of an error, too.
    if let Some(overhead) = &pod.overhead {
        let overhead =
            ResourceRequirements { limits: Some(overhead.clone()), ..ResourceRequirements::default() };
        let path = format!("{path}.overhead");
        resources::check(&overhead, resources::container_resource, &path, errors);
        resources::requests_fit(&overhead, None, &path, errors);
    }
}

fn object_names(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let is_set = |name: &&str| !name.is_empty();
    // The operator writes the deprecated field's name in both if the other one is not there.
    let deprecated = pod.service_account.as_deref().filter(|_| pod.service_account_name.is_none());
    let objects = [
        ("serviceAccountName", pod.service_account_name.as_deref().filter(is_set)),
        ("serviceAccount", deprecated.filter(is_set)),
        ("priorityClassName", pod.priority_class_name.as_deref().filter(is_set)),
        ("runtimeClassName", pod.runtime_class_name.as_deref()),
    ];
    for (field, name) in objects {
        errors.follows(format!("{path}.{field}"), name, &names::SUBDOMAIN, labels::SUBDOMAIN);
    }
    let policies = ["PreemptLowerPriority", "Never"];
    errors.one_of(format!("{path}.preemptionPolicy"), pod.preemption_policy.as_deref(), &policies);
}

fn gates(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    for (index, gate) in pod.readiness_gates.iter().flatten().enumerate() {
        let field = format!("{path}.readinessGates[{index}].conditionType");
        labels::key(&gate.condition_type, &field, errors);
    }
    let mut names = HashSet::new();
    for (index, gate) in pod.scheduling_gates.iter().flatten().enumerate() {
        let field = format!("{path}.schedulingGates[{index}]");
        labels::key(&gate.name, &field, errors);
        if !names.insert(gate.name.as_str()) {
            errors.duplicate(field, gate.name.as_str());
        }
    }
}

fn operating_system(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(os) = &pod.os else {
        return;
    };
    if os.name.is_empty() {
        errors.required(format!("{path}.os.name"), "");
    }
    if os.name == "windows" {
        let message = "the operator gives consumers a security context that only Linux has";
        return errors.forbidden(format!("{path}.os.name"), message);
    }
    if os.name != "linux" {
        let name = Some(os.name.as_str()).filter(|name| !name.is_empty());
        return errors.one_of(format!("{path}.os"), name, &["linux", "windows"]);
    }
    let of_pod = pod.security_context.as_ref().is_some_and(|context| context.windows_options.is_some());
    let of_containers = containers(pod).filter(|(_, container)| {
        container.security_context.as_ref().is_some_and(|context| context.windows_options.is_some())
    });
    for path in of_pod.then(|| path.to_owned()).into_iter().chain(of_containers.map(|(path, _)| path)) {
        let field = format!("{path}.securityContext.windowsOptions");
        errors.forbidden(field, "windows options cannot be set for a linux pod");
    }
}

/// The resources of all containers together. That the containers' requests fit in is left to the API
/// server, which adds them up with its defaults.
fn whole_resources(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(whole) = &pod.resources else {
        return;
    };
    let path = format!("{path}.resources");
    if whole.claims.is_some() {
        errors.forbidden(format!("{path}.claims"), "claims may not be set for Resources at pod-level");
    }
    resources::check(whole, resources::pod_resource, &path, errors);
    resources::requests_fit(whole, None, &path, errors);
    for (index, container) in pod.containers.iter().enumerate() {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, limit) in limits.into_iter().flatten() {
            let field = || format!("{path}.containers[{index}][{name}].limits");
            within_pod(whole, name, limit, field, errors);
        }
    }
}

/// The consumer's own limits, which `path` is, but for those that the overlay replaces.
pub(super) fn consumer_within_pod(
    input: &RuleInput<'_>,
    limits: &BTreeMap<String, Quantity>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let Some(whole) = input.overlaid_pod().and_then(|pod| pod.resources.as_ref()) else {
        return;
    };
    let overlaid =
        input.overlaid_consumer().and_then(|container| container.resources.as_ref()?.limits.as_ref());
    for (name, limit) in limits {
        if overlaid.is_none_or(|overlaid| !overlaid.contains_key(name)) {
            within_pod(whole, name, limit, || format!("{path}[{name}]"), errors);
        }
    }
}

/// No container may have a limit above the whole pod's.
fn within_pod(
    whole: &ResourceRequirements,
    name: &str,
    limit: &Quantity,
    field: impl FnOnce() -> String,
    errors: &mut FieldErrors<'_>,
) {
    let Some(most) = whole.limits.as_ref().and_then(|limits| limits.get(name)) else {
        return;
    };
    let [asked, allowed] = [limit, most].map(|quantity| quantity::billionths(&quantity.0));
    if asked.zip(allowed).is_some_and(|(asked, allowed)| asked > allowed) {
        let detail = format!("must be less than or equal to pod limits of {}", most.0);
        errors.invalid(field(), limit.0.as_str(), &detail);
    }
}
