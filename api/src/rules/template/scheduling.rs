//! Where the pods may run: node selector, tolerations, affinity and topology spread.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::super::field_errors::FieldErrors;
use super::{label, labels};
use crate::names;

const POSITIVE: &str = "must be greater than zero";
const WEIGHT: &str = "must be in the range 1-100";
const EMPTY_KEY: &str = "can not be empty";

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    labels::labels(pod.node_selector.as_ref(), &format!("{path}.nodeSelector"), errors);
    for (index, toleration) in pod.tolerations.iter().flatten().enumerate() {
        tolerates(toleration, &format!("{path}.tolerations[{index}]"), errors);
    }
    if let Some(written) = &pod.affinity {
        affinity(written, &format!("{path}.affinity"), errors);
    }
    let constraints = pod.topology_spread_constraints.as_deref().unwrap_or_default();
    spread(constraints, &format!("{path}.topologySpreadConstraints"), errors);
}

fn tolerates(toleration: &Toleration, path: &str, errors: &mut FieldErrors<'_>) {
    let Toleration { key, operator, value, effect, .. } = toleration;
    let [key, operator, value, effect] =
        [key, operator, value, effect].map(|field| field.as_deref().unwrap_or_default());
    let at_operator = format!("{path}.operator");
    if !key.is_empty() {
        labels::key(key, &format!("{path}.key"), errors);
    } else if operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(at_operator.as_str(), operator, detail);
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(format!("{path}.effect"), effect, detail);
    }
    match operator {
        "" | "Equal" => {
            let wrong = labels::value_errors(value).join(";");
            if !wrong.is_empty() {
                errors.invalid(at_operator, value, &wrong);
            }
        }
        "Exists" if !value.is_empty() => {
            errors.invalid(at_operator, value, "value must be empty when `operator` is 'Exists'");
        }
        // A feature gate of the API server decides about these two.
        "Lt" | "Gt" if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) => {}
        "Lt" | "Gt" => {
            let detail = "must be a valid decimal integer in canonical form";
            errors.invalid(format!("{path}.value"), value, detail);
        }
        "Exists" => {}
        unknown => errors.not_supported(at_operator, unknown, &["Equal", "Exists"]),
    }
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    errors.one_of(format!("{path}.effect"), Some(effect).filter(|effect| !effect.is_empty()), &effects);
}

fn affinity(affinity: &Affinity, path: &str, errors: &mut FieldErrors<'_>) {
    if let Some(nodes) = &affinity.node_affinity {
        node_affinity(nodes, &format!("{path}.nodeAffinity"), errors);
    }
    if let Some(pods) = &affinity.pod_affinity {
        let required = pods.required_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = pods.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        pod_affinity(required, preferred, &format!("{path}.podAffinity"), errors);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let required = pods.required_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = pods.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        pod_affinity(required, preferred, &format!("{path}.podAntiAffinity"), errors);
    }
}

fn node_affinity(nodes: &NodeAffinity, path: &str, errors: &mut FieldErrors<'_>) {
    if let Some(required) = &nodes.required_during_scheduling_ignored_during_execution {
        let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            errors.required(path.as_str(), "must have at least one node selector term");
        }
        for (index, term) in required.node_selector_terms.iter().enumerate() {
            node_term(term, true, &format!("{path}[{index}]"), errors);
        }
    }
    let preferred = nodes.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    for (index, term) in preferred.enumerate() {
        let path = format!("{path}.{PREFERRED}[{index}]");
        weight(term.weight, &path, errors);
        node_term(&term.preference, false, &format!("{path}.preference"), errors);
    }
}

/// The API server allows values that no label has in a term that is only preferred.
fn node_term(term: &NodeSelectorTerm, is_required: bool, path: &str, errors: &mut FieldErrors<'_>) {
    for (index, wanted) in term.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = wanted.values.as_deref().unwrap_or_default();
        labels::operator_and_values(&wanted.operator, values, &path, errors);
        match wanted.operator.as_str() {
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            "Gt" | "Lt" if values.len() == 1 => {}
            "Gt" | "Lt" => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.required(format!("{path}.values"), detail);
            }
            unknown => labels::unknown_operator(unknown, &path, errors),
        }
        labels::requirement(&wanted.key, if is_required { values } else { &[] }, &path, errors);
    }
    for (index, wanted) in term.match_fields.iter().flatten().enumerate() {
        let path = format!("{path}.matchFields[{index}]");
        let values = wanted.values.as_deref().unwrap_or_default();
        match wanted.operator.as_str() {
            "In" | "NotIn" if values.len() == 1 => {}
            "In" | "NotIn" => {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(format!("{path}.values"), detail);
            }
            unknown => labels::unknown_operator(unknown, &path, errors),
        }
        if wanted.key != "metadata.name" {
            errors.invalid(format!("{path}.key"), wanted.key.as_str(), "not a valid field selector key");
            continue;
        }
        for (at, name) in values.iter().enumerate() {
            let field = format!("{path}.values[{at}]");
            errors.follows(field, name.as_str(), &names::SUBDOMAIN, labels::SUBDOMAIN);
        }
    }
}

fn pod_affinity<'a>(
    required: impl Iterator<Item = &'a PodAffinityTerm>,
    preferred: impl Iterator<Item = &'a WeightedPodAffinityTerm>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for (index, term) in required.enumerate() {
        pod_term(term, &format!("{path}.{REQUIRED}[{index}]"), errors);
    }
    for (index, term) in preferred.enumerate() {
        let path = format!("{path}.{PREFERRED}[{index}]");
        weight(term.weight, &path, errors);
        pod_term(&term.pod_affinity_term, &format!("{path}.podAffinityTerm"), errors);
    }
}

fn pod_term(term: &PodAffinityTerm, path: &str, errors: &mut FieldErrors<'_>) {
    labels::selector(term.label_selector.as_ref(), &format!("{path}.labelSelector"), errors);
    labels::selector(term.namespace_selector.as_ref(), &format!("{path}.namespaceSelector"), errors);
    for namespace in term.namespaces.iter().flatten() {
        label(namespace, format!("{path}.namespace"), errors);
    }
    let [keys, others] =
        [&term.match_label_keys, &term.mismatch_label_keys].map(|keys| keys.as_deref().unwrap_or_default());
    label_keys(keys, others, term.label_selector.as_ref(), path, errors);
    let field = format!("{path}.topologyKey");
    if term.topology_key.is_empty() {
        errors.required(field.as_str(), EMPTY_KEY);
    }
    labels::key(&term.topology_key, &field, errors);
}

fn weight(weight: i32, path: &str, errors: &mut FieldErrors<'_>) {
    if !(1..=100).contains(&weight) {
        errors.invalid(format!("{path}.weight"), weight, WEIGHT);
    }
}

fn spread(constraints: &[TopologySpreadConstraint], path: &str, errors: &mut FieldErrors<'_>) {
    let mut later: HashSet<(&str, &str)> = HashSet::new();
    let mut repeated = Vec::new();
    for (index, one) in constraints.iter().enumerate().rev() {
        if !later.insert((&one.topology_key, &one.when_unsatisfiable)) {
            repeated.push(index);
        }
    }
    for (index, one) in constraints.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if one.max_skew <= 0 {
            errors.invalid(format!("{path}.maxSkew"), one.max_skew, POSITIVE);
        }
        if one.topology_key.is_empty() {
            errors.required(format!("{path}.topologyKey"), EMPTY_KEY);
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        errors.one_of(format!("{path}.whenUnsatisfiable"), Some(&one.when_unsatisfiable), &actions);
        if repeated.contains(&index) {
            let pair = format!("{{{}, {}}}", one.topology_key, one.when_unsatisfiable);
            errors.duplicate(format!("{path}.{{topologyKey, whenUnsatisfiable}}"), pair);
        }
        if let Some(domains) = one.min_domains {
            let field = format!("{path}.minDomains");
            if domains <= 0 {
                errors.invalid(field.as_str(), domains, POSITIVE);
            }
            if one.when_unsatisfiable != "DoNotSchedule" {
                let action = &one.when_unsatisfiable;
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(field, domains, &detail);
            }
        }
        let policies = ["Honor", "Ignore"];
        errors.one_of(format!("{path}.nodeAffinityPolicy"), one.node_affinity_policy.as_deref(), &policies);
        errors.one_of(format!("{path}.nodeTaintsPolicy"), one.node_taints_policy.as_deref(), &policies);
        let keys = one.match_label_keys.as_deref().unwrap_or_default();
        label_keys(keys, &[], one.label_selector.as_ref(), &path, errors);
        labels::selector(one.label_selector.as_ref(), &format!("{path}.labelSelector"), errors);
    }
}

/// Keys of the pod's own labels, which are added to a selector. That the selector has none of them is
/// left to the API server, whose rule differs from version to version.
fn label_keys(
    keys: &[String],
    others: &[String],
    selector: Option<&LabelSelector>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for (field, keys) in [("matchLabelKeys", keys), ("mismatchLabelKeys", others)] {
        let path = format!("{path}.{field}");
        if selector.is_none() && !keys.is_empty() {
            errors.forbidden(path, "must not be specified when labelSelector is not set");
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            labels::key(key, &format!("{path}[{index}]"), errors);
        }
    }
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| others.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.invalid(format!("{path}.matchLabelKeys[{index}]"), key.as_str(), detail);
    }
}
