//! Rules for spec.metrics, spec.alerts and spec.scaling.

use k8s_openapi::api::autoscaling::v2::HPAScalingRules;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::field_errors::{FieldErrors, Path};
use crate::alerts::{AlertName, AlertRule};
use crate::group::Labels;
use crate::messages;
use crate::names;
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// Prometheus can scrape the port and path, and the lag metric has a valid name.
pub(crate) fn endpoint_can_be_scraped(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    let mut errors = FieldErrors::new(Rule::Metrics, violations);
    if let Some(port) = metrics.port.filter(|port| !(1..=65535).contains(port)) {
        errors.invalid("spec.metrics.port", port, messages::PORT);
    }
    errors.follows("spec.metrics.path", metrics.path.as_deref(), &names::HTTP_PATH, messages::PATH);
    let interval = metrics.interval.as_deref();
    errors.follows("spec.metrics.interval", interval, &names::DURATION, messages::DURATION);
    let lag = metrics.lag_metric.as_deref();
    errors.follows("spec.metrics.lagMetric", lag, &names::METRIC_NAME, messages::METRIC);
}

/// A metric of the user's own has no statistic: a pod's largest value counts.
pub(crate) fn lag_is_defined_once(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    if metrics.lag_metric.is_some() && metrics.lag_statistic.is_some() {
        violations.push(Violation::forbidden(
            Rule::Metrics,
            "spec.metrics.lagStatistic",
            messages::LAG_STATISTIC,
        ));
    }
}

/// The labels by which the operator and Services select objects; users may not set them.
pub(crate) const OWN_LABELS: [&str; 3] = [names::LABEL_APP, names::LABEL_MANAGED_BY, names::LABEL_GROUP];

fn object_labels(field: &str, labels: &Labels, errors: &mut FieldErrors<'_>) {
    for (key, value) in labels {
        if !names::is_label_key(key) {
            errors.invalid(field, key.as_str(), messages::LABEL_KEY);
        } else if OWN_LABELS.contains(&key.as_str()) {
            errors.forbidden(format!("{field}[{key}]"), messages::OWN_LABEL);
        } else {
            let field = Path(|| format!("{field}[{key}]"));
            errors.follows(field, value.as_str(), &names::LABEL_VALUE, messages::LABEL_VALUE);
        }
    }
}

pub(crate) fn monitor_labels_are_labels(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let mut errors = FieldErrors::new(Rule::Metrics, violations);
    object_labels("spec.metrics.labels", &input.spec.metrics.labels, &mut errors);
}

/// The annotations that the operator, kubectl or the Deployment controller sets, by their prefixes.
pub(crate) const OWN_ANNOTATIONS: [&str; 3] =
    ["thenextapps.com/", "kubectl.kubernetes.io/", "deployment.kubernetes.io/"];
/// The longest annotation.
pub(crate) const ANNOTATION_LENGTH: usize = 4096;

/// Every owned resource accepts the labels and annotations, and only the group sets them.
pub(crate) fn inherited_metadata_is_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    const ANNOTATIONS: &str = "spec.inheritedMetadata.annotations";
    let inherited = &input.spec.inherited_metadata;
    let mut errors = FieldErrors::new(Rule::InheritedMetadata, violations);
    object_labels("spec.inheritedMetadata.labels", &inherited.labels, &mut errors);
    for (key, value) in &inherited.annotations {
        let field = || format!("{ANNOTATIONS}[{key}]");
        if !names::is_label_key(key) {
            errors.invalid(ANNOTATIONS, key.as_str(), messages::LABEL_KEY);
        } else if OWN_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)) {
            errors.forbidden(field(), messages::OWN_ANNOTATION);
        } else if value.len() > ANNOTATION_LENGTH {
            errors.too_long(field(), value.len(), ANNOTATION_LENGTH);
        }
    }
}

/// The labels that identify an alert; users may not set them.
pub(crate) const OWN_ALERT_LABELS: [&str; 4] = ["alertname", "namespace", "kconsumergroup", "severity"];

/// Prometheus can load the PrometheusRule.
pub(crate) fn alerts_are_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let alerts = &input.spec.alerts;
    let mut errors = FieldErrors::new(Rule::Alerts, violations);
    errors.follows("spec.alerts.for", alerts.hold.as_str(), &names::DURATION, messages::DURATION);
    severity("spec.alerts.severity", alerts.severity.as_deref(), &mut errors);
    if let Some(labels) = &alerts.rule_labels {
        object_labels("spec.alerts.ruleLabels", labels, &mut errors);
    }
    for (name, rule) in &alerts.rules {
        alert_is_well_formed(name, rule, &mut errors);
    }
    for key in alerts.labels.keys() {
        if OWN_ALERT_LABELS.contains(&key.as_str()) {
            errors.forbidden(format!("spec.alerts.labels[{key}]"), messages::OWN_LABEL);
        } else {
            let message = messages::PROMETHEUS_LABEL;
            errors.follows("spec.alerts.labels", key.as_str(), &names::PROMETHEUS_LABEL, message);
        }
    }
}

fn severity(field: &str, value: Option<&str>, errors: &mut FieldErrors<'_>) {
    if let Some(value) = value.filter(|value| !names::PRINTED.matches(value)) {
        errors.invalid(field, value, &messages::fill(messages::PRINTED, names::PRINTED.length));
    }
}

fn alert_is_well_formed(name: &str, settings: &AlertRule, errors: &mut FieldErrors<'_>) {
    let field = |field: &str| format!("spec.alerts.rules[{name}].{field}");
    let Some(alert) = AlertName::ALL.into_iter().find(|alert| alert.as_str() == name) else {
        return errors.not_supported("spec.alerts.rules", name, &AlertName::ALL.map(AlertName::as_str));
    };
    errors.follows(field("for"), settings.hold.as_deref(), &names::DURATION, messages::DURATION);
    severity(&field("severity"), settings.severity.as_deref(), errors);
    let thresholds = alert.thresholds();
    if let Some(threshold) = settings.threshold.filter(|threshold| !thresholds.contains(threshold)) {
        let message = format!("must be between {} and {}", thresholds.start(), thresholds.end());
        errors.invalid(field("threshold"), threshold, &message);
    }
}

/// The longest stabilizationWindowSeconds.
pub(crate) const MAX_WINDOW: i32 = 3600;
/// The longest periodSeconds of a scaling policy.
pub(crate) const MAX_PERIOD: i32 = 1800;
pub(crate) const SELECT_POLICIES: [&str; 3] = ["Max", "Min", "Disabled"];
pub(crate) const POLICY_TYPES: [&str; 2] = ["Pods", "Percent"];
pub(crate) const STRATEGIES: [&str; 2] = ["RollingUpdate", "Recreate"];

/// The Deployment's strategy is one of the two that exist.
pub(crate) fn strategy_is_known(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let strategy = input.spec.scaling.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    if let Some(strategy) = strategy {
        one_of("spec.scaling.strategy.type".into(), strategy, &STRATEGIES, violations);
    }
}

/// A rolling update can add or remove a pod, as apps/v1 validation requires. A field that is not
/// set counts as 25%.
pub(crate) fn roll_can_move(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let strategy = input.spec.scaling.strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let Some((surge, unavailable)) =
        rolling.and_then(|rolling| rolling.max_surge.as_ref().zip(rolling.max_unavailable.as_ref()))
    else {
        return;
    };
    if is_zero(surge) && is_zero(unavailable) {
        violations.push(Violation::invalid(
            Rule::Scaling,
            "spec.scaling.strategy.rollingUpdate.maxUnavailable",
            json!(unavailable),
            messages::NO_ROOM_TO_ROLL,
        ));
    }
}

/// A Deployment whose pods all stop first has no rolling update.
pub(crate) fn recreate_does_not_roll(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let strategy = input.spec.scaling.strategy.as_ref();
    let recreates = strategy.filter(|strategy| strategy.type_.as_deref() == Some("Recreate"));
    if recreates.is_some_and(|strategy| strategy.rolling_update.is_some()) {
        violations.push(Violation::forbidden(
            Rule::Deployment,
            "spec.scaling.strategy.rollingUpdate",
            messages::RECREATE_ROLLS,
        ));
    }
}

fn is_zero(count: &IntOrString) -> bool {
    match count {
        IntOrString::Int(count) => *count == 0,
        IntOrString::String(percent) => {
            percent.strip_suffix('%').is_some_and(|percent| percent.parse() == Ok(0))
        }
    }
}

/// The most seconds that a pod must be ready: a Deployment's progressDeadlineSeconds, which is 600,
/// must be more.
pub(crate) const MAX_READY_SECONDS: i32 = 599;

/// A rollout can end before its deadline.
pub(crate) fn min_ready_seconds_is_within_the_deadline(
    input: &RuleInput<'_>,
    violations: &mut Vec<Violation>,
) {
    let seconds = input.spec.scaling.min_ready_seconds;
    between("spec.scaling.minReadySeconds".into(), seconds, 0, MAX_READY_SECONDS, violations);
}

fn between(field: String, value: i32, least: i32, most: i32, violations: &mut Vec<Violation>) {
    if !(least..=most).contains(&value) {
        let message = format!("must be between {least} and {most}");
        violations.push(Violation::invalid(Rule::Scaling, field, value, message));
    }
}

/// The behavior passes autoscaling/v2 validation.
pub(crate) fn behavior_is_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(behavior) = &input.spec.scaling.behavior else {
        return;
    };
    for (direction, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        if let Some(rules) = rules {
            scaling_rules(&format!("spec.scaling.behavior.{direction}"), rules, violations);
        }
    }
}

fn one_of(field: String, value: &str, known: &[&str], violations: &mut Vec<Violation>) {
    if !known.contains(&value) {
        violations.push(Violation::not_supported(Rule::Scaling, field, value, known));
    }
}

fn scaling_rules(path: &str, rules: &HPAScalingRules, violations: &mut Vec<Violation>) {
    if let Some(window) = rules.stabilization_window_seconds {
        between(format!("{path}.stabilizationWindowSeconds"), window, 0, MAX_WINDOW, violations);
    }
    if let Some(select) = &rules.select_policy {
        one_of(format!("{path}.selectPolicy"), select, &SELECT_POLICIES, violations);
    }
    if rules.policies.as_ref().is_some_and(Vec::is_empty) {
        let message = "must have at least one policy; omit the list to use the API server's defaults";
        violations.push(Violation::required(Rule::Scaling, format!("{path}.policies"), message));
    }
    for (index, policy) in rules.policies.iter().flatten().enumerate() {
        let path = format!("{path}.policies[{index}]");
        one_of(format!("{path}.type"), &policy.type_, &POLICY_TYPES, violations);
        between(format!("{path}.value"), policy.value, 1, i32::MAX, violations);
        between(format!("{path}.periodSeconds"), policy.period_seconds, 1, MAX_PERIOD, violations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;

    fn violations(alerts: &serde_json::Value) -> Vec<String> {
        let spec: KconsumerGroupSpec = serde_json::from_value(json!({"alerts": alerts})).expect("the types");
        let mut violations = Vec::new();
        let grants = TopicGrants::Own;
        alerts_are_well_formed(&RuleInput::new(None, "default", &spec, &grants), &mut violations);
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_of_an_alert_are_checked_by_the_alert_s_name() {
        for (name, settings, want) in [
            ("KafkaConsumerGroupLagHigh", json!({"threshold": 0, "for": "1h", "severity": "page"}), ""),
            (
                "KafkaConsumerGroupLagHigh",
                json!({"threshold": -1}),
                "LagHigh].threshold: Invalid value: -1: must be between 0 and",
            ),
            (
                "KafkaConsumerGroupNoConsumers",
                json!({"threshold": 0}),
                "NoConsumers].threshold: Invalid value: 0: must be between 1 and",
            ),
            ("KafkaConsumerGroupConsumersHung", json!({"threshold": 86_401}), "must be between 1 and 86400"),
            (
                "KafkaConsumerGroupLagHigh",
                json!({"for": "soon"}),
                "spec.alerts.rules[KafkaConsumerGroupLagHigh].for: Invalid value",
            ),
            ("KafkaConsumerGroupLagHigh", json!({"severity": " "}), "].severity: Invalid value"),
            (
                "RecordsLagBreached",
                json!({}),
                "spec.alerts.rules: Unsupported value: \"RecordsLagBreached\": supported values: \"KafkaConsumerGroupLagHigh\"",
            ),
        ] {
            let violations = violations(&json!({"rules": {name: settings}}));
            assert_eq!(violations.len(), usize::from(!want.is_empty()), "{violations:?}");
            assert!(violations.iter().all(|violation| violation.contains(want)), "{violations:?}");
        }
    }
}
