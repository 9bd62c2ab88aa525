//! The PrometheusRule with the group's alerts. Every text from the spec is quoted for the language
//! that it becomes part of: PromQL, JSON or a template.

mod expressions;

use kcg_api::alerts::AlertName;
use kcg_api::{ValidGroup, ceiling};
use serde_json::{Value, json};

use super::{ChildKind, head};
use crate::ceiling::Ceiling;
use crate::lag::Tolerance;
use expressions::Expressions;

/// The page with a section for each alert.
const RUNBOOK: &str = "https://github.com/thenextapps/kconsumer-group-operator/blob/main/docs/alerts.md";
/// Seconds without a poll after which a consumer hangs: Kafka's default of max.poll.interval.ms,
/// after which the broker gives its partitions to others.
const HUNG_SECONDS: i64 = 300;

/// `tolerance` is that of the live autoscaler, if there is one.
pub(super) fn build(group: &ValidGroup, ceiling: &Ceiling, tolerance: Option<Tolerance>) -> Value {
    let tolerance = tolerance.unwrap_or_else(|| Tolerance::of_group(group));
    let mut rule = head(ChildKind::PrometheusRule, group);
    for (key, value) in &group.alerts.rule_labels {
        rule["metadata"]["labels"][key] = json!(value);
    }
    let alerts: Vec<Value> = AlertName::ALL
        .into_iter()
        .filter(|name| group.alerts.rule(*name).is_none_or(|rule| rule.enabled))
        .filter_map(|name| Some(rendered(name, group, &alert(name, group, ceiling, tolerance)?)))
        .collect();
    rule["spec"] = json!({"groups": [{"name": format!("./{}.rules", group.name), "rules": alerts}]});
    rule
}

/// What distinguishes one alert from the others.
struct Alert {
    expr: String,
    summary: String,
    description: String,
}

/// `None` if what the alert compares with is not known.
fn alert(name: AlertName, group: &ValidGroup, ceiling: &Ceiling, tolerance: Tolerance) -> Option<Alert> {
    match name {
        AlertName::LagHigh => Some(lag_high(group, tolerance)),
        AlertName::AtCeiling => ceiling.is_known(group).then(|| at_ceiling(group, ceiling.max, tolerance)),
        AlertName::PartitionLagHigh => Some(partition_lag_high(group, tolerance)),
        AlertName::ConsumersIdle => ceiling.all_partitions().map(|partitions| idle(group, partitions)),
        AlertName::LagMissing => Some(lag_missing(group)),
        AlertName::NoConsumers => Some(no_consumers(group)),
        AlertName::ConsumersHung => Some(hung(group)),
    }
}

/// Prometheus expands templates in labels and annotations: escape the braces of the user's texts.
fn plain(text: &str) -> String {
    text.replace("{{", r#"{{"{{"}}"#)
}

fn rendered(name: AlertName, group: &ValidGroup, alert: &Alert) -> Value {
    let settings = group.alerts.rule(name);
    let severity = settings.and_then(|rule| rule.severity.as_ref()).unwrap_or(&group.alerts.severity);
    let hold = settings.and_then(|rule| rule.hold.as_ref()).unwrap_or(&group.alerts.hold);
    let mut labels: serde_json::Map<String, Value> =
        group.alerts.labels.iter().map(|(key, value)| (key.clone(), json!(plain(value)))).collect();
    labels.insert("severity".into(), json!(plain(severity)));
    labels.insert("namespace".into(), json!(group.namespace));
    labels.insert("kconsumergroup".into(), json!(group.name));
    json!({
        "alert": name.as_str(),
        "expr": alert.expr,
        "for": hold,
        "labels": labels,
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": format!("{RUNBOOK}#{}", name.as_str().to_lowercase()),
        },
    })
}

fn threshold(name: AlertName, group: &ValidGroup) -> Option<i64> {
    group.alerts.rule(name)?.threshold
}

/// The threshold of an alert about the lag: the user's, or where the autoscaler adds consumers.
fn lag_threshold(name: AlertName, group: &ValidGroup, tolerance: Tolerance) -> String {
    threshold(name, group).map_or_else(|| tolerance.threshold(group.lag_limit), |records| records.to_string())
}

fn is_behind(name: AlertName, group: &ValidGroup, tolerance: Tolerance) -> String {
    format!("avg({}) > {}", Expressions::of(group).lag_by_pod(), lag_threshold(name, group, tolerance))
}

fn whose(group: &ValidGroup) -> String {
    format!("{}/{}", group.namespace, group.name)
}

/// `$value` as a whole number.
const VALUE: &str = r#"{{ printf "%.0f" $value }}"#;

fn lag_high(group: &ValidGroup, tolerance: Tolerance) -> Alert {
    Alert {
        expr: is_behind(AlertName::LagHigh, group, tolerance),
        summary: format!("{VALUE} records wait for each consumer of {} on average.", whose(group)),
        description: format!(
            "The limit is {} records. Above {} times the limit the autoscaler adds consumers, up to the ceiling. If it does not, the condition MetricsAvailable of the group has the reason.",
            group.lag_limit,
            tolerance.factor()
        ),
    }
}

fn at_ceiling(group: &ValidGroup, max: i32, tolerance: Tolerance) -> Alert {
    let up = Expressions::of(group).pods_of_one_template();
    Alert {
        expr: format!("({}) and on() ({up} >= {max})", is_behind(AlertName::AtCeiling, group, tolerance)),
        summary: format!(
            "{} runs at its ceiling of {max} consumers, and {VALUE} records wait for each of them on average.",
            whose(group)
        ),
        description: "The autoscaler adds no further consumer: add partitions to the topic, raise spec.maxReplicas if that is what caps it, or make the consumer faster.".into(),
    }
}

/// By partition, if the metric has that label.
fn partition_lag_high(group: &ValidGroup, tolerance: Tolerance) -> Alert {
    let name = AlertName::PartitionLagHigh;
    Alert {
        expr: format!(
            "({} > {}) unless on() ({})",
            Expressions::of(group).lag_by_partition(),
            lag_threshold(name, group, tolerance),
            is_behind(AlertName::LagHigh, group, tolerance)
        ),
        summary: format!(
            "{VALUE} records wait in {{{{ with $labels.partition }}}}partition {{{{ $labels.topic }}}}/{{{{ . }}}}{{{{ else }}}}one consumer{{{{ end }}}} of {}, while the average is within the limit.",
            whose(group)
        ),
        description: format!(
            "The limit is {} records. The autoscaler goes by the average, and one partition has one consumer at a time: more of them cannot help. Choose a key that spreads the records, or make the consumer faster.",
            group.lag_limit
        ),
    }
}

fn idle(group: &ValidGroup, partitions: i32) -> Alert {
    let busy = ceiling::consumers(partitions, group.consumer.partitions_per_consumer);
    Alert {
        expr: format!(
            "{} - {busy} > {}",
            Expressions::of(group).pods_of_one_template(),
            threshold(AlertName::ConsumersIdle, group).unwrap_or(0)
        ),
        summary: format!(
            "Consumers of {} beyond the {busy} that its partitions ({partitions}) keep busy: {VALUE}.",
            whose(group)
        ),
        description: "They do nothing. See who wants them: kubectl describe hpa, spec.paused; or add partitions to the topic.".into(),
    }
}

fn lag_missing(group: &ValidGroup) -> Alert {
    Alert {
        expr: format!(
            "count({}) > {}",
            Expressions::of(group).pods_without_lag(),
            threshold(AlertName::LagMissing, group).unwrap_or(0)
        ),
        summary: format!(
            "Consumers of {} that are scraped and have shown no lag for two minutes: {VALUE}.",
            whose(group)
        ),
        description: format!(
            "NaN, infinite and negative values are no lag. The autoscaler takes such a consumer for idle if it would add consumers, and for one at the limit if it would remove some. Check spec.metrics (preset, path) against what the consumer exports: {}.",
            group.metrics.scraped_lag_metric()
        ),
    }
}

fn no_consumers(group: &ValidGroup) -> Alert {
    let least = threshold(AlertName::NoConsumers, group).unwrap_or(1);
    Alert {
        expr: format!("(count({}) or vector(0)) < {least}", Expressions::of(group).pods_up()),
        summary: format!("Consumers of {} that can be scraped: {VALUE}.", whose(group)),
        description: format!(
            "They do not run, or do not answer on their metrics port: look at the group's pods and at spec.metrics.{}",
            group
                .metrics
                .limits
                .describe()
                .map(|limits| format!(" Prometheus also rejects a scrape above {limits}."))
                .unwrap_or_default()
        ),
    }
}

fn hung(group: &ValidGroup) -> Alert {
    let seconds = threshold(AlertName::ConsumersHung, group).unwrap_or(HUNG_SECONDS);
    Alert {
        expr: format!("count({})", Expressions::of(group).hung_pods(seconds)),
        summary: format!("Consumers of {} that have not polled for {seconds} s: {VALUE}.", whose(group)),
        description: "They are stuck in the processing of a record, or in something that it waits for. After max.poll.interval.ms the broker gives their partitions to others, who get stuck at the same record. Take a thread dump and look at what the consumer calls.".into(),
    }
}
