//! The validation rules. Each rule is a short function named after what it ensures.

mod advice;
pub(crate) mod consumer;
pub(crate) mod endpoint;
mod field_errors;
pub mod live;
mod metric_requests;
pub(crate) mod metric_specs;
pub(crate) mod metrics;
mod pod;
mod pod_security;
mod probe_ports;
mod replicas;
mod scaling;
pub(crate) mod scrape_limits;
mod template;

pub use advice::advice;

use crate::parse::drop_followup_errors;
use crate::rule_input::RuleInput;
use crate::violation::Violation;

/// A rule: pushes every violation that it finds in the input.
type RuleFn = fn(&RuleInput<'_>, &mut Vec<Violation>);

const RULES: &[RuleFn] = &[
    replicas::name_names_a_service,
    replicas::min_replicas_is_positive,
    replicas::max_replicas_is_positive,
    replicas::min_is_within_max,
    replicas::lag_limit_is_positive,
    replicas::partitions_per_consumer_is_positive,
    consumer::image_is_a_reference,
    consumer::container_name_is_a_label,
    consumer::topics_are_named,
    consumer::topic_namespace_is_granted,
    consumer::group_id_is_printed,
    consumer::bootstrap_servers_are_printed,
    consumer::env_is_distinct,
    consumer::env_from_is_bounded,
    consumer::pull_policy_is_known,
    template::consumer_is_a_container,
    template::pull_secrets_are_distinct,
    consumer::readiness_has_a_path,
    pod::overlay_is_a_pod_template,
    pod_security::pod_keeps_baseline,
    template::overlay_makes_a_pod,
    metrics::endpoint_can_be_scraped,
    endpoint::endpoints_are_well_formed,
    endpoint::timeouts_are_within_intervals,
    scrape_limits::scrapes_are_not_too_frequent,
    scrape_limits::scrapes_are_within_the_limits,
    scrape_limits::paths_are_passed_on_as_they_are,
    metrics::lag_is_defined_once,
    metrics::monitor_labels_are_labels,
    metrics::alerts_are_well_formed,
    metrics::behavior_is_well_formed,
    metric_specs::metrics_are_well_formed,
    metric_specs::lag_is_no_further_metric,
    metric_requests::utilization_has_requests,
    metrics::strategy_is_known,
    metrics::roll_can_move,
    metrics::min_ready_seconds_is_within_the_deadline,
    metrics::recreate_does_not_roll,
    scaling::rolling_update_counts_pods,
    scaling::tolerance_is_not_negative,
    metrics::inherited_metadata_is_well_formed,
];

/// The rules for what a file of defaults can set.
const RULES_OF_DEFAULTS: &[RuleFn] = &[
    metrics::endpoint_can_be_scraped,
    scrape_limits::scrapes_are_not_too_frequent,
    scrape_limits::scrapes_are_within_the_limits,
    metrics::monitor_labels_are_labels,
    metrics::alerts_are_well_formed,
    metrics::inherited_metadata_is_well_formed,
    template::pull_secrets_are_distinct,
];

/// Every violation of the rules for what a file of defaults can set.
pub(crate) fn check_defaults(input: &RuleInput<'_>) -> Vec<Violation> {
    violations(RULES_OF_DEFAULTS, input)
}

/// Every violation of the static rules, in the order of the rules.
pub fn check(input: &RuleInput<'_>) -> Vec<Violation> {
    violations(RULES, input)
}

fn violations(rules: &[RuleFn], input: &RuleInput<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rule in rules {
        rule(input, &mut violations);
    }
    if let Some(parsed) = &input.overlay {
        drop_followup_errors(&parsed.errors, &mut violations);
    }
    violations
}
