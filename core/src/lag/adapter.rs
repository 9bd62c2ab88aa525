//! What a metrics adapter has to serve, as prometheus-adapter's configuration.

use kcg_api::preset::{LagStatistic, Preset};
use serde_json::{Value, json};

use super::expression::{ActivitySeries, LagSeries, number};

/// prometheus-adapter's configuration: each preset's lag of a pod as a Pods metric, by statistic,
/// and the metrics that the operator read before there were statistics.
///
/// A statistic is discovered by a series that every live client has; the lag itself appears only
/// with the first partition.
pub fn adapter_rules() -> Value {
    let by_statistic = |preset: Preset| LagStatistic::ALL.map(|statistic| statistic_rule(preset, statistic));
    let former = Preset::ALL.map(|preset| former_rule(preset.client_metrics().former_lag));
    let rules: Vec<Value> = Preset::ALL.into_iter().flat_map(by_statistic).chain(former).collect();
    json!({"rules": rules})
}

/// The same rules as values of prometheus-adapter's chart, without the chart's default rules, which
/// sum a metric over the pods of a group.
pub fn adapter_values() -> Value {
    json!({"rules": {"default": false, "custom": adapter_rules()["rules"]}})
}

fn statistic_rule(preset: Preset, statistic: LagStatistic) -> Value {
    let metrics = preset.client_metrics();
    let matched = |metric: &str| format!("{metric}{{<<.LabelMatchers>>}}");
    let series = LagSeries {
        records_lag: matched(metrics.records_lag),
        assigned_partitions: matched("<<.Series>>"),
        activity: ActivitySeries::of(&metrics, matched),
        pod: "<<.GroupBy>>",
        writes_dots_as_underscores: metrics.writes_dots_as_underscores,
    };
    let mut rule = rule(metrics.assigned_partitions, &series.by_pod(statistic));
    rule["name"] = json!({"matches": "^.*$", "as": preset.lag_metric(statistic)});
    rule
}

/// The largest value of a pod's series. An adapter takes NaN for zero, and an infinite lag would
/// scale the group to its ceiling.
fn former_rule(metric: &str) -> Value {
    rule(metric, &format!("max({}) by (<<.GroupBy>>)", number("<<.Series>>{<<.LabelMatchers>>}")))
}

fn rule(series: &str, query: &str) -> Value {
    json!({
        "seriesQuery": format!(r#"{series}{{namespace!="",pod!=""}}"#),
        "resources": {"overrides": {
            "namespace": {"resource": "namespace"},
            "pod": {"resource": "pod"},
        }},
        "metricsQuery": query,
    })
}
