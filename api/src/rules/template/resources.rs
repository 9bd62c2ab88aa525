//! Compute resources.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::field_errors::FieldErrors;
use super::labels;
use crate::messages::NOT_NEGATIVE;
use crate::quantity::{self, GRAMMAR};

type Quantities = BTreeMap<String, Quantity>;

/// The resources of Kubernetes that have no domain, in containers, pods and quotas.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const IN_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";
/// The prefix of the resources that a quota counts.
const REQUESTS: &str = "requests.";

/// The rule for the name of a resource. Its arguments are the name, the field and the errors.
pub(super) type NameRule = fn(&str, &str, &mut FieldErrors<'_>);

/// Quantities that parse, of resources that `name_rule` allows. `path` is that of the requirements.
pub(super) fn check(
    written: &ResourceRequirements,
    name_rule: NameRule,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for (list, quantities) in [("limits", &written.limits), ("requests", &written.requests)] {
        for (name, quantity) in quantities.iter().flatten() {
            let field = format!("{path}.{list}[{name}]");
            name_rule(name, &field, errors);
            check_quantity(name, &quantity.0, &field, errors);
        }
    }
}

fn check_quantity(name: &str, quantity: &str, field: &str, errors: &mut FieldErrors<'_>) {
    match quantity::sign(quantity) {
        None => return errors.invalid(field, quantity, GRAMMAR),
        Some(Ordering::Less) => errors.invalid(field, quantity, NOT_NEGATIVE),
        Some(_) => {}
    }
    let Some(billionths) = quantity::billionths(quantity) else {
        return;
    };
    if is_extended(name) && billionths % 1_000_000_000 != 0 {
        errors.invalid(field, quantity, "must be an integer");
    }
    if let Some(page) = name.strip_prefix(HUGE_PAGES) {
        let page = quantity::billionths(page).filter(|page| *page > 0);
        if page.is_none_or(|page| billionths % page != 0) {
            errors.invalid(
                field,
                quantity,
                &format!("{quantity} is not positive integer multiple of {name}"),
            );
        }
    }
}

/// Requests within the limits, and equal to them where nothing can be overcommitted. `under` are the
/// resources into which these are merged.
pub(super) fn requests_fit(
    written: &ResourceRequirements,
    under: Option<&ResourceRequirements>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let limits = merged(under.and_then(|under| under.limits.as_ref()), written.limits.as_ref());
    let requests = merged(under.and_then(|under| under.requests.as_ref()), written.requests.as_ref());
    for (name, request) in &requests {
        let can_overcommit = is_native(name) && !name.starts_with(HUGE_PAGES);
        let Some(limit) = limits.get(name) else {
            if !can_overcommit {
                errors
                    .required(format!("{path}.limits"), "Limit must be set for non overcommitable resources");
            }
            continue;
        };
        let [asked, allowed] = [*request, *limit].map(quantity::billionths);
        let Some(order) = asked.zip(allowed).map(|(asked, allowed)| asked.cmp(&allowed)) else {
            continue;
        };
        let relation = match order {
            Ordering::Less | Ordering::Greater if !can_overcommit => "equal to",
            Ordering::Greater => "less than or equal to",
            _ => continue,
        };
        let message = format!("must be {relation} {name} limit of {limit}");
        errors.invalid(format!("{path}.requests"), *request, &message);
    }
    let has = |wanted: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| wanted(name));
    if has(|name| name.starts_with(HUGE_PAGES)) && !has(|name| matches!(name, "cpu" | "memory")) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
}

/// The name of a resource that a container can have.
pub(in crate::rules) fn container_resource(name: &str, field: &str, errors: &mut FieldErrors<'_>) {
    known(name, field, errors);
    if !name.contains('/') {
        if !IN_CONTAINERS.contains(&name) && !name.starts_with(HUGE_PAGES) {
            errors.invalid(field, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(field, name, "doesn't follow extended resource name standard");
    }
}

/// The name of a resource that a whole pod can have.
pub(super) fn pod_resource(name: &str, field: &str, errors: &mut FieldErrors<'_>) {
    let is_known = known(name, field, errors);
    if is_known && !matches!(name, "cpu" | "memory") && !name.starts_with(HUGE_PAGES) {
        errors.not_supported(field, name, &["cpu", HUGE_PAGES, "memory"]);
    }
}

/// A resource of Kubernetes, or one with the domain of who provides it.
fn known(name: &str, field: &str, errors: &mut FieldErrors<'_>) -> bool {
    let wrong = labels::key_errors(name);
    for error in &wrong {
        errors.invalid(field, name, error);
    }
    let is_standard = STANDARD.contains(&name)
        || name.strip_prefix(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES)
        || name.contains('/');
    if wrong.is_empty() && !is_standard {
        errors.invalid(field, name, "must be a standard resource type or fully qualified");
    }
    wrong.is_empty() && is_standard
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with(REQUESTS)
        && labels::key_errors(&format!("{REQUESTS}{name}")).is_empty()
}

fn merged<'a>(under: Option<&'a Quantities>, over: Option<&'a Quantities>) -> BTreeMap<&'a str, &'a str> {
    let quantities = under.into_iter().flatten().chain(over.into_iter().flatten());
    quantities.map(|(name, quantity)| (name.as_str(), quantity.0.as_str())).collect()
}
