//! Rules on the group's name and its numbers.

use super::sentences;
use crate::names;
use crate::subject::Subject;
use crate::violation::{Rule, Violation};

/// A Service, labels and a container are named after the group.
pub fn name_names_a_service(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    if let Some(name) = subject.name.filter(|name| !names::SERVICE_NAME.matches(name)) {
        violations.push(Violation::invalid(Rule::Name, "metadata.name", name, sentences::NAME));
    }
}

/// `value`, counted by how far it is below 1.
fn at_least_one(rule: Rule, field: &str, value: i64, violations: &mut Vec<Violation>) {
    if value < 1 {
        violations.push(Violation::invalid(rule, field, value, sentences::POSITIVE).by(1 - value));
    }
}

/// Without a consumer there is no pod whose lag the autoscaler could read.
pub fn min_replicas_is_positive(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    at_least_one(Rule::MinReplicas, "spec.minReplicas", subject.spec.min_replicas.into(), violations);
}

pub fn max_replicas_is_positive(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    if let Some(cap) = subject.spec.max_replicas {
        at_least_one(Rule::MaxReplicas, "spec.maxReplicas", cap.into(), violations);
    }
}

/// The cap is the person's own word: a minimum above it contradicts it.
pub fn min_is_within_max(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    let min = subject.spec.min_replicas;
    if let Some(cap) = subject.spec.max_replicas.filter(|&cap| cap >= 1 && min > cap) {
        let sentence = sentences::fill(sentences::MIN_WITHIN_MAX, cap);
        let excess = i64::from(min) - i64::from(cap);
        violations.push(Violation::invalid(Rule::MinWithinMax, "spec.minReplicas", min, sentence).by(excess));
    }
}

pub fn lag_limit_is_positive(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    at_least_one(
        Rule::LagLimit,
        "spec.averageRecordsLagLimit",
        subject.spec.average_records_lag_limit,
        violations,
    );
}

pub fn partitions_per_consumer_is_positive(subject: &Subject<'_>, violations: &mut Vec<Violation>) {
    let value = subject.spec.consumer_spec.partitions_per_consumer;
    at_least_one(
        Rule::PartitionsPerConsumer,
        "spec.consumerSpec.partitionsPerConsumer",
        value.into(),
        violations,
    );
}
