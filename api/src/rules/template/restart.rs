//! When a container restarts: by itself, and as its resources change.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule};

use super::super::field_errors::FieldErrors;

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// Whether an init container runs as long as the pod.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Older API servers, or those without a feature gate, allow fewer policies.
pub(super) fn check(container: &Container, is_init: bool, path: &str, errors: &mut FieldErrors<'_>) {
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    let field = format!("{path}.restartPolicy");
    match container.restart_policy.as_deref() {
        None if !rules.is_empty() => {
            errors.required(field, "must specify restartPolicy when restart rules are used");
            if !is_init {
                check_rules(rules, path, errors);
            }
        }
        policy => {
            errors.one_of(field, policy, &POLICIES);
            check_rules(rules, path, errors);
        }
    }
    resize_policy(container, is_init, &format!("{path}.resizePolicy"), errors);
}

fn check_rules(rules: &[ContainerRestartRule], path: &str, errors: &mut FieldErrors<'_>) {
    if rules.len() > MAX_RULES {
        errors.too_many(format!("{path}.restartPolicyRules"), rules.len(), MAX_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{path}.restartPolicyRules[{index}]");
        errors.one_of(format!("{path}.action"), Some(&rule.action), &["Restart", "RestartAllContainers"]);
        let Some(codes) = &rule.exit_codes else {
            errors.required(format!("{path}.exitCodes"), "must be specified");
            continue;
        };
        errors.one_of(format!("{path}.exitCodes.operator"), Some(&codes.operator), &["In", "NotIn"]);
        let values = codes.values.as_deref().unwrap_or_default();
        let path = format!("{path}.exitCodes.values");
        if values.len() > MAX_EXIT_CODES {
            errors.too_many(path, values.len(), MAX_EXIT_CODES);
            continue;
        }
        errors.distinct_values(&path, values.iter().copied());
    }
}

fn resize_policy(container: &Container, is_init: bool, path: &str, errors: &mut FieldErrors<'_>) {
    let mut resources = HashSet::new();
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        let (resource, restart) = (policy.resource_name.as_str(), policy.restart_policy.as_str());
        if !resources.insert(resource) {
            errors.duplicate(format!("{path}[{index}]"), resource);
        }
        // The API server names the list, not the item.
        for (value, supported) in
            [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])]
        {
            if value.is_empty() {
                errors.required(path, "");
            } else {
                errors.one_of(path, Some(value), &supported);
            }
        }
        if is_init && !is_sidecar(container) && restart == "RestartContainer" {
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            errors.invalid(format!("{path}[{index}].restartPolicy"), restart, detail);
        }
    }
}
