//! References to fields of the pod and of a container's resources, in variables and in files of the
//! downward API.

use std::cmp::Ordering;

use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::super::field_errors::FieldErrors;
use super::labels;
use crate::quantity::{self, GRAMMAR};

/// The fields of a pod that have a label, in whatever they are used.
const FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The resources of a container that can be referred to, next to huge pages.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HUGE_PAGES: [&str; 2] = ["requests.hugepages-", "limits.hugepages-"];
/// The divisors of bytes, as the API server formats them.
const BYTES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// A field of the pod that is one of `allowed`, or the value of one label or annotation. `path` is
/// that of the selector.
pub(super) fn of_pod(
    selector: &ObjectFieldSelector,
    allowed: &[&str],
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let field = selector.field_path.as_str();
    let at = format!("{path}.fieldPath");
    let wrong = |reason: String| format!("error converting fieldPath: {reason}");
    let version = selector.api_version.as_deref().filter(|version| !matches!(*version, "" | "v1"));
    let subscript = field.strip_suffix("']").and_then(|field| field.split_once("['"));
    match (field, version, subscript) {
        ("", _, _) => errors.required(at, ""),
        (_, Some(version), _) => {
            errors.invalid(at, field, &wrong(format!("unsupported pod version: {version}")));
        }
        (_, _, Some(("metadata.labels", key))) => labels::key(key, path, errors),
        // The prefix of an annotation may have capital letters.
        (_, _, Some(("metadata.annotations", key))) => labels::key(&key.to_lowercase(), path, errors),
        (_, _, Some((before, _))) if !before.is_empty() => {
            errors.invalid(at, field, &wrong(format!("field label does not support subscript: {field}")));
        }
        // An old name of spec.nodeName.
        ("spec.host", ..) if allowed.contains(&"spec.nodeName") => {}
        _ if !FIELDS.contains(&field) => {
            errors.invalid(at, field, &wrong(format!("field label not supported: {field}")));
        }
        _ => errors.one_of(at, Some(field), allowed),
    }
}

/// A resource of a container, in a unit that the API server has for it. A file (`in_file`) has no
/// container of its own.
pub(super) fn of_container(
    selector: &ResourceFieldSelector,
    in_file: bool,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let resource = selector.resource.as_str();
    let is_huge_page = HUGE_PAGES.iter().any(|prefix| resource.starts_with(prefix));
    if in_file && selector.container_name.as_deref().is_none_or(str::is_empty) {
        errors.required(format!("{path}.containerName"), "");
    } else if resource.is_empty() {
        errors.required(format!("{path}.resource"), "");
    } else if !is_huge_page {
        errors.one_of(format!("{path}.resource"), Some(resource), &RESOURCES);
    }
    if let Some(divisor) = &selector.divisor {
        check_divisor(resource, &divisor.0, &format!("{path}.divisor"), errors);
    }
}

fn check_divisor(resource: &str, divisor: &str, field: &str, errors: &mut FieldErrors<'_>) {
    let (units, kind): (&[&str], _) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&BYTES, "local ephemeral storage"),
        _ if HUGE_PAGES.iter().any(|prefix| resource.starts_with(prefix)) => (&BYTES, "hugepages"),
        _ => (&[], ""),
    };
    match quantity::sign(divisor) {
        None => errors.invalid(field, divisor, GRAMMAR),
        // The API server takes 0 for its default.
        Some(Ordering::Equal) => {}
        Some(_) if units.is_empty() || units.iter().any(|unit| is_formatted_as(divisor, unit)) => {}
        Some(_) => {
            let units = if kind == "cpu" { units.join(" and ") } else { units.join(", ") };
            let detail = format!("only divisor's values {units} are supported with the {kind} resource");
            errors.invalid(field, resource, &detail);
        }
    }
}

/// Whether the API server formats the quantity as this unit: the value is the unit's, in a format of
/// the same base.
fn is_formatted_as(quantity: &str, unit: &str) -> bool {
    let is_binary = |text: &str| text.ends_with('i');
    let has_exponent = quantity.trim_end_matches('E').contains(['e', 'E']);
    let is_of_base = unit == "1" || is_binary(quantity) == is_binary(unit) && !has_exponent;
    is_of_base && quantity::billionths(quantity) == quantity::billionths(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_formatted_with_the_largest_unit_of_its_base() {
        for (quantity, unit) in [
            ("1", "1"),
            ("+1.0", "1"),
            ("1000m", "1"),
            ("1e0", "1"),
            ("0.001", "1m"),
            ("1000", "1k"),
            ("1024Ki", "1Mi"),
            ("0.5Ki", "512"),
            ("1E", "1E"),
        ] {
            let is = is_formatted_as(quantity, unit);
            assert_eq!(is, unit != "512", "{quantity} {unit}");
        }
        for (quantity, unit) in [("1024", "1Ki"), ("1e3", "1k"), ("2", "1"), ("1Mi", "1M")] {
            assert!(!is_formatted_as(quantity, unit), "{quantity} {unit}");
        }
    }
}
