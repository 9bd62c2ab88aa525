//! Compute resources.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::field_errors::FieldErrors;
use crate::quantity::{self, GRAMMAR};
use crate::rules::messages::NOT_NEGATIVE;

type Quantities = BTreeMap<String, Quantity>;

/// Quantities that parse, of resources that a container can have, and requests within the limits.
/// `under` are the resources into which these are merged.
pub(super) fn check(
    written: &ResourceRequirements,
    under: Option<&ResourceRequirements>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for (list, quantities) in [("limits", &written.limits), ("requests", &written.requests)] {
        for (name, quantity) in quantities.iter().flatten() {
            check_one(name, &quantity.0, format!("{path}.{list}[{name}]"), errors);
        }
    }
    let limits = merged(under.and_then(|under| under.limits.as_ref()), written.limits.as_ref());
    let requests = merged(under.and_then(|under| under.requests.as_ref()), written.requests.as_ref());
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else {
            continue;
        };
        let [asked, allowed] = [request, limit].map(quantity::billionths);
        if asked.zip(allowed).is_some_and(|(asked, allowed)| asked > allowed) {
            let message = format!("must be less than or equal to {name} limit of {limit}");
            errors.invalid(format!("{path}.requests"), request, &message);
        }
    }
}

fn check_one(name: &str, quantity: &str, field: String, errors: &mut FieldErrors<'_>) {
    container_resource(name, &field, errors);
    match quantity::sign(quantity) {
        None => errors.invalid(field, quantity, GRAMMAR),
        Some(Ordering::Less) => errors.invalid(field, quantity, NOT_NEGATIVE),
        Some(_) => {}
    }
}

/// A resource that a container can have.
pub(in crate::rules) fn container_resource(name: &str, field: &str, errors: &mut FieldErrors<'_>) {
    if !is_resource(name) {
        errors.invalid(field, name, "must be a standard resource type or fully qualified");
        errors.invalid(field, name, "must be a standard resource for containers");
    }
}

/// A resource of Kubernetes, or one with the domain of who provides it.
fn is_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
        || name.starts_with("hugepages-")
        || name.contains('/')
}

fn merged<'a>(under: Option<&'a Quantities>, over: Option<&'a Quantities>) -> BTreeMap<&'a str, &'a str> {
    let quantities = under.into_iter().flatten().chain(over.into_iter().flatten());
    quantities.map(|(name, quantity)| (name.as_str(), quantity.0.as_str())).collect()
}
