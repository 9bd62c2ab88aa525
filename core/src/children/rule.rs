//! The PrometheusRule with the group's alerts. Every text from the spec is quoted for the language
//! that it becomes part of: PromQL, JSON or a template.

use kcg_api::{ValidGroup, ceiling, names};
use serde_json::{Value, json};

use super::{ChildKind, head};
use crate::ceiling::Ceiling;

pub(super) fn build(group: &ValidGroup, ceiling: &Ceiling) -> Value {
    let mut rule = head(ChildKind::PrometheusRule, group);
    for (key, value) in &group.alerts.rule_labels {
        rule["metadata"]["labels"][key] = json!(value);
    }
    // If no partition was ever known, the ceiling is only the minimum: the group cannot be at it.
    let at_ceiling = ceiling.partitions.map(|_| at_ceiling(group, ceiling.max));
    let idle = ceiling.all_partitions().map(|partitions| idle(group, partitions));
    let alerts: Vec<Value> = [
        Some(behind(group)),
        at_ceiling,
        Some(skewed(group)),
        idle,
        Some(no_metrics(group)),
        Some(no_consumers(group)),
    ]
    .into_iter()
    .flatten()
    .collect();
    rule["spec"] = json!({"groups": [{"name": format!("./{}.rules", group.name), "rules": alerts}]});
    rule
}

/// A string literal in PromQL and in JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Prometheus expands templates in labels and annotations: escape the braces of the user's texts.
fn plain(text: &str) -> String {
    text.replace("{{", r#"{{"{{"}}"#)
}

/// The group's own series: those that are scraped through its Service.
fn own(metric: &str, group: &ValidGroup) -> String {
    format!("{metric}{{namespace={},service={}}}", quoted(&group.namespace), quoted(&group.name))
}

/// The lag of each pod's worst partition. The comparison drops NaN, which an idle client reports.
fn worst_by_pod(group: &ValidGroup) -> String {
    format!("max by (pod) ({} >= 0)", own(&group.metrics.lag_metric, group))
}

fn lag_above_limit(group: &ValidGroup) -> String {
    format!("avg({}) > {}", worst_by_pod(group), group.lag_limit)
}

fn alert(name: &str, group: &ValidGroup, expr: &str, message: &str, description: &str) -> Value {
    let mut labels: serde_json::Map<String, Value> =
        group.alerts.labels.iter().map(|(key, value)| (key.clone(), json!(plain(value)))).collect();
    labels.insert("severity".into(), json!(plain(&group.alerts.severity)));
    labels.insert("namespace".into(), json!(group.namespace));
    labels.insert("kconsumergroup".into(), json!(group.name));
    json!({
        "alert": format!("{name}-{}", group.name),
        "expr": expr,
        "for": group.alerts.hold,
        "labels": labels,
        "annotations": {"message": message, "description": description},
    })
}

fn whose(group: &ValidGroup) -> String {
    format!("{}/{}", group.namespace, group.name)
}

fn behind(group: &ValidGroup) -> Value {
    alert(
        names::ALERT_LAG,
        group,
        &lag_above_limit(group),
        &format!("The consumers of {} are behind by {{{{ $value }}}} records on average.", whose(group)),
        &format!(
            "The limit is {} records, each pod's worst partition averaged over the pods. The autoscaler adds consumers up to the ceiling.",
            group.lag_limit
        ),
    )
}

fn at_ceiling(group: &ValidGroup, max: i32) -> Value {
    let pods = format!("count({}) >= {max}", worst_by_pod(group));
    alert(
        names::ALERT_AT_CEILING,
        group,
        &format!("({}) and on() ({pods})", lag_above_limit(group)),
        &format!(
            "{} runs at its ceiling of {max} consumers and is still behind by {{{{ $value }}}} records on average.",
            whose(group)
        ),
        "No further consumer can help: add partitions to the topic, raise spec.maxReplicas if that is what caps it, or make the consumer faster.",
    )
}

/// By partition, if the metric has that label.
fn skewed(group: &ValidGroup) -> Value {
    let worst = format!("max by (topic, partition) ({} >= 0)", own(&group.metrics.lag_metric, group));
    alert(
        names::ALERT_SKEWED,
        group,
        &format!("({worst} > {}) unless on() ({})", group.lag_limit, lag_above_limit(group)),
        &format!(
            "{{{{ with $labels.partition }}}}Partition {{{{ $labels.topic }}}}/{{{{ . }}}}{{{{ else }}}}A consumer{{{{ end }}}} of {} is behind by {{{{ $value }}}} records, while the average is within the limit.",
            whose(group)
        ),
        &format!(
            "The limit is {} records. The autoscaler goes by the average, and one partition has one consumer at a time: more of them cannot help. Choose a key that spreads the records, or make the consumer faster.",
            group.lag_limit
        ),
    )
}

fn idle(group: &ValidGroup, partitions: i32) -> Value {
    let busy = ceiling::consumers(partitions, group.consumer.partitions_per_consumer);
    alert(
        names::ALERT_IDLE,
        group,
        &format!("count(count by (pod) ({} == 1)) > {busy}", own("up", group)),
        &format!(
            "{{{{ $value }}}} consumers of {} run, of which the partitions ({partitions}) keep {busy} busy.",
            whose(group)
        ),
        "The others do nothing. See who wants them: kubectl describe hpa, spec.paused, a rollout with a surge; or add partitions to the topic.",
    )
}

fn no_metrics(group: &ValidGroup) -> Value {
    alert(
        names::ALERT_NO_METRICS,
        group,
        &format!(
            "absent({}) and on() (count({} == 1) > 0)",
            own(&group.metrics.lag_metric, group),
            own("up", group)
        ),
        &format!("The consumers of {} are scraped but show no {}.", whose(group), group.metrics.lag_metric),
        "Without it nothing scales. Check spec.metrics (preset, path, lagMetric) against what the consumer exports.",
    )
}

fn no_consumers(group: &ValidGroup) -> Value {
    alert(
        names::ALERT_NO_CONSUMERS,
        group,
        &format!("absent({} == 1)", own("up", group)),
        &format!("No consumer of {} can be scraped.", whose(group)),
        "None runs, or none answers on its metrics port: look at the group's pods and at spec.metrics.",
    )
}
