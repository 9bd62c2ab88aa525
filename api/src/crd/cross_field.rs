//! The rules of the CRD that compare fields with each other or with their old values, in CEL.

use serde_json::{Value, json};

use crate::alerts::AlertName;
use crate::messages;
use crate::names;

/// Checks only new groups, because a name cannot change.
pub(super) fn name_rule() -> Value {
    json!({
        "rule": format!(
            "oldSelf.hasValue() || (self.metadata.name.size() <= {} && self.metadata.name.matches(r\"{}\"))",
            names::SERVICE_NAME.length, names::SERVICE_NAME.pattern
        ),
        "optionalOldSelf": true,
        "message": format!("metadata.name {}", messages::NAME),
    })
}

/// The webhook's ratchet in CEL: an excess that has not grown is allowed.
pub(super) fn min_within_max_rule() -> Value {
    let (before, after) =
        messages::MIN_WITHIN_MAX.split_once("{}").expect("invariant: the message has a placeholder");
    json!({
        "rule": "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas || oldSelf.optMap(old, has(old.maxReplicas) && old.minReplicas > old.maxReplicas && self.minReplicas - self.maxReplicas <= old.minReplicas - old.maxReplicas).orValue(false)",
        "optionalOldSelf": true,
        "fieldPath": ".minReplicas",
        "message": messages::fill(messages::MIN_WITHIN_MAX, "lower"),
        "messageExpression": format!("'{before}%d{after}'.format([self.maxReplicas])"),
    })
}

pub(super) fn topic_rule() -> Value {
    json!({
        "rule": "has(self.topic) || (has(self.topics) && self.topics.size() > 0) || oldSelf.optMap(old, !has(old.topic) && (!has(old.topics) || old.topics.size() == 0)).orValue(false)",
        "optionalOldSelf": true,
        "fieldPath": ".topic",
        "reason": "FieldValueRequired",
        "message": messages::NO_TOPIC,
    })
}

/// A map's keys have no schema of their own.
pub(super) fn alerts_rule() -> Value {
    let known = AlertName::ALL.map(AlertName::as_str);
    json!({
        "rule": format!("self.all(name, name in {known:?})"),
        "message": format!("must be names of alerts: {}", known.join(", ")),
    })
}

pub(super) fn lag_rule() -> Value {
    json!({
        "rule": "!has(self.lagMetric) || !has(self.lagStatistic)",
        "fieldPath": ".lagStatistic",
        "reason": "FieldValueForbidden",
        "message": messages::LAG_STATISTIC,
    })
}
