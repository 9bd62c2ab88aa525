//! Claims of devices: those of the pod, and the use of them by its containers.

use std::collections::{BTreeSet, HashSet};

use k8s_openapi::api::core::v1::{PodResourceClaim, ResourceClaim};
use serde_json::{Value, json};

use super::super::field_errors::FieldErrors;
use super::{dns_label, label, labels};
use crate::names;

/// Checks spec.resourceClaims, which `path` is, and returns their names.
pub(super) fn of_pod<'a>(
    claims: &'a [PodResourceClaim],
    path: &str,
    errors: &mut FieldErrors<'_>,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if claim.name.is_empty() || seen.insert(claim.name.as_str()) {
            dns_label(&claim.name, format!("{path}.name"), errors);
        } else {
            errors.duplicate(format!("{path}.name"), claim.name.as_str());
        }
        let message = match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (None, None) => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            (Some(_), Some(_)) => {
                Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
            }
            _ => None,
        };
        if let Some(message) = message {
            errors.invalid(path.as_str(), quoted(claim), message);
        }
        let references = [
            ("resourceClaimName", &claim.resource_claim_name),
            ("resourceClaimTemplateName", &claim.resource_claim_template_name),
        ];
        for (field, name) in references {
            let field = format!("{path}.{field}");
            errors.follows(field, name.as_deref(), &names::SUBDOMAIN, labels::SUBDOMAIN);
        }
    }
    seen
}

/// The claim as the API server quotes it.
fn quoted(claim: &PodResourceClaim) -> Value {
    json!({
        "Name": claim.name,
        "ResourceClaimName": claim.resource_claim_name,
        "ResourceClaimTemplateName": claim.resource_claim_template_name,
    })
}

/// Each claim of a container is one of the pod's, and each request of it is made once. `path` is that
/// of the list.
pub(super) fn of_container(
    claims: &[ResourceClaim],
    of_pod: &BTreeSet<&str>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (name, request) = (claim.name.as_str(), claim.request.as_deref().unwrap_or_default());
        if name.is_empty() {
            errors.required(path.as_str(), "");
        } else if seen.contains(&(name, "")) {
            errors.duplicate(path.as_str(), name);
        } else {
            if !request.is_empty() {
                label(request, format!("{path}.request"), errors);
            }
            if seen.contains(&(name, request)) {
                errors.duplicate(path.as_str(), format!("{name}/{request}"));
            } else if request.is_empty() {
                let requested = seen.iter().filter(|(other, _)| *other == name).count();
                (0..requested).for_each(|_| errors.duplicate(path.as_str(), name));
            } else if seen.iter().any(|(other, _)| *other == name) {
                // The API server allows several requests of a claim, but server-side apply tells the
                // items apart by their name alone and refuses the second one.
                errors.duplicate(format!("{path}.name"), name);
            }
            seen.insert((name, request));
        }
        if !name.is_empty() && !of_pod.contains(name) {
            let names = of_pod.iter().copied().collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { " which is empty".to_owned() } else { format!(": {names}") };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{names}");
            errors.not_among(path, name, &detail);
        }
    }
}
