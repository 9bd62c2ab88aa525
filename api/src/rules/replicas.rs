//! Rules for metadata.name and the numbers of the spec.

use crate::messages;
use crate::names;
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// A Service, labels and a container are named after the group.
pub(crate) fn name_names_a_service(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    if let Some(name) = input.name.filter(|name| !names::SERVICE_NAME.matches(name)) {
        violations.push(Violation::invalid(Rule::Name, "metadata.name", name, messages::NAME));
    }
}

/// The excess is how far `value` is below 1.
fn at_least_one(rule: Rule, field: &str, value: i64, violations: &mut Vec<Violation>) {
    if value < 1 {
        violations.push(
            Violation::invalid(rule, field, value, messages::POSITIVE)
                .with_excess(1_i64.saturating_sub(value)),
        );
    }
}

/// Without a consumer there is no pod whose lag the autoscaler can read.
pub(crate) fn min_replicas_is_positive(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    at_least_one(Rule::MinReplicas, "spec.minReplicas", input.spec.min_replicas.into(), violations);
}

pub(crate) fn max_replicas_is_positive(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    if let Some(cap) = input.spec.max_replicas {
        at_least_one(Rule::MaxReplicas, "spec.maxReplicas", cap.into(), violations);
    }
}

/// The minimum is not above the user's own cap.
pub(crate) fn min_is_within_max(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let min = input.spec.min_replicas;
    if let Some(cap) = input.spec.max_replicas.filter(|&cap| cap >= 1 && min > cap) {
        let message = messages::fill(messages::MIN_WITHIN_MAX, cap);
        let excess = i64::from(min) - i64::from(cap);
        violations.push(
            Violation::invalid(Rule::MinWithinMax, "spec.minReplicas", min, message).with_excess(excess),
        );
    }
}

pub(crate) fn lag_limit_is_positive(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    at_least_one(
        Rule::LagLimit,
        "spec.averageRecordsLagLimit",
        input.spec.average_records_lag_limit,
        violations,
    );
}

pub(crate) fn partitions_per_consumer_is_positive(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let value = input.spec.consumer_spec.partitions_per_consumer;
    at_least_one(
        Rule::PartitionsPerConsumer,
        "spec.consumerSpec.partitionsPerConsumer",
        value.into(),
        violations,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excess_of_the_smallest_number_is_a_number() {
        let mut violations = Vec::new();
        at_least_one(Rule::LagLimit, "spec.averageRecordsLagLimit", i64::MIN, &mut violations);
        assert_eq!(violations[0].excess, i64::MAX);
    }
}
