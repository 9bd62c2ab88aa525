//! The dashboard of one group: its lag, its consumers, and what limits them.
//!
//! The consumers' own metrics carry the name of the group's Service, which the ServiceMonitor
//! scrapes. The operator's metrics about a group are the same in every controller.

use kcg_api::preset::{ClientMetrics, LagStatistic, Preset};
use kcg_core::lag::expression::{ActivitySeries, LagSeries};
use serde_json::Value;

use super::{COLUMNS, HALF, Kind, Panel, Variable};

/// Java clients export it under two names: Micrometer's and the JMX exporter's.
const REBALANCES: &str =
    "kafka_consumer_coordinator_rebalance_total|kafka_consumer_consumer_coordinator_metrics_rebalance_total";

/// The same metric of the clients of every preset.
fn of_presets(metric: impl Fn(ClientMetrics) -> &'static str) -> String {
    Preset::ALL.map(|preset| metric(preset.client_metrics())).join("|")
}

/// The same metric of the clients that count fetches. No pod exports two of these names, so the
/// names can be dropped.
fn of_fetching(metric: impl Fn(ClientMetrics) -> &'static str) -> String {
    let clients = Preset::ALL.map(Preset::client_metrics).into_iter();
    clients.filter(|client| client.fetches.is_some()).map(metric).collect::<Vec<_>>().join("|")
}

/// The lag of one group's consumers.
fn lag_series() -> LagSeries {
    LagSeries {
        records_lag: consumers(&of_presets(|metrics| metrics.records_lag)),
        assigned_partitions: consumers(&of_presets(|metrics| metrics.assigned_partitions)),
        activity: Some(ActivitySeries {
            fetches: consumers(&of_fetching(|metrics| metrics.fetches.unwrap_or_default())),
            records_consumed: consumers(&of_fetching(|metrics| metrics.records_consumed)),
            last_poll_seconds_ago: consumers(&of_fetching(|metrics| metrics.last_poll_seconds_ago)),
        }),
        pod: "pod",
        writes_dots_as_underscores: true,
    }
}

/// The series of one group's consumers for one metric, by all of its names.
fn consumers(names: &str) -> String {
    format!(r#"{{__name__=~"{names}",namespace="$namespace",service="$group"}}"#)
}

/// One of the operator's metrics about the group.
fn of_group(metric: &str) -> String {
    format!(r#"max(kconsumer_group_operator_group_{metric}{{namespace="$namespace",name="$group"}})"#)
}

/// One of the operator's metrics about every group of the namespace.
fn of_all_groups(metric: &str) -> String {
    format!(r#"max by (name) (kconsumer_group_operator_group_{metric}{{namespace="$namespace"}})"#)
}

/// The dashboard, as Grafana imports it.
pub fn dashboard() -> Value {
    let groups = "kconsumer_group_operator_group_replicas";
    let variables = [
        Variable {
            name: "namespace",
            label: "Namespace",
            values: format!("label_values({groups}, namespace)"),
        },
        Variable {
            name: "group",
            label: "Group",
            values: format!(r#"label_values({groups}{{namespace="$namespace"}}, name)"#),
        },
    ];
    let panels: Vec<Panel> =
        [overview(), lag(), consumers_and_alerts(), all_groups()].into_iter().flatten().collect();
    super::dashboard(
        "kcg-groups",
        "Kafka consumer groups",
        "One KconsumerGroup: its lag, its consumers, its ceiling and its alerts.",
        &variables,
        &panels,
    )
}

fn overview() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Partitions",
            "The partitions that the ceiling is computed from: status.partitions.",
            "short",
            of_group("partitions"),
        ),
        Panel::stat(
            "Ceiling",
            "The maximum number of consumers: as many as the partitions keep busy, limited by spec.maxReplicas.",
            "short",
            of_group("ceiling"),
        ),
        Panel::stat(
            "Consumers",
            "The current number of consumers: status.replicas.",
            "short",
            of_group("replicas"),
        ),
        Panel::stat(
            "Idle consumers",
            "Pods without an assigned partition, from the consumers' own metrics.",
            "short",
            format!("count({} == 0) or vector(0)", assigned_by_pod()),
        ),
        Panel::stat(
            "Lag / limit",
            "The average lag as a share of spec.averageRecordsLagLimit. Above 110 % (with the default tolerance) the autoscaler adds consumers, up to the ceiling.",
            "percentunit",
            format!("{} / {}", of_group("lag_records"), of_group("lag_limit_records")),
        ),
        Panel::stat(
            "Firing alerts",
            "Alerts of the group's PrometheusRule. The panel Alerts shows them over time.",
            "short",
            format!("count({}) or vector(0)", alerts("firing")),
        ),
    ]
}

/// A pod may have several clients, and a client may export the figure under two presets' names.
fn assigned_by_pod() -> String {
    format!("max by (pod) (sum by (pod, __name__) ({}))", lag_series().assigned_partitions)
}

/// The records consumed, by topic. Java clients count them without a topic as well; apps/kconsumer
/// counts them under librdkafka's name, too.
fn consumed() -> String {
    let names = [Preset::Spring, Preset::JmxExporter].map(|preset| preset.client_metrics().records_consumed);
    format!(r#"{{__name__=~"{}",namespace="$namespace",service="$group",topic!=""}}"#, names.join("|"))
}

fn alerts(state: &str) -> String {
    format!(r#"ALERTS{{namespace="$namespace",kconsumergroup="$group",alertstate="{state}"}}"#)
}

fn lag() -> Vec<Panel> {
    let series = lag_series();
    vec![
        Panel::row("Lag"),
        Panel {
            kind: Kind::Lines,
            title: "Lag by partition",
            about: "Lag in records of each partition; Java clients write the dots of a topic as underscores. One line far above the others is a hot partition, which more consumers do not help.",
            unit: "short",
            width: HALF,
            queries: vec![
                (series.by_partition(), "{{topic}}/{{partition}}"),
                (of_group("lag_limit_records"), "limit"),
            ],
        },
        Panel {
            kind: Kind::Lines,
            title: "Average lag",
            about: "The sum of each pod's partitions, averaged over the pods, from the consumers' metrics; and the value that the autoscaler last read. They differ if spec.metrics chooses another statistic or metric. If the second line is missing, the condition MetricsAvailable has the reason.",
            unit: "short",
            width: HALF,
            queries: vec![
                (format!("avg({})", series.by_pod(LagStatistic::Sum)), "consumers"),
                (of_group("lag_records"), "autoscaler"),
                (of_group("lag_limit_records"), "limit"),
            ],
        },
    ]
}

fn consumers_and_alerts() -> Vec<Panel> {
    let panel = |kind, title, about, unit, width, queries| Panel { kind, title, about, unit, width, queries };
    vec![
        Panel::row("Consumers"),
        panel(
            Kind::Steps,
            "Consumers and their ceiling",
            "Current and ready consumers, and the maximum that the partitions allow. If the group is at its ceiling and still behind, it needs more partitions or a faster consumer.",
            "short",
            HALF,
            vec![
                (of_group("replicas"), "consumers"),
                (of_group("ready_replicas"), "ready"),
                (of_group("ceiling"), "ceiling"),
                (of_group("partitions"), "partitions"),
            ],
        ),
        panel(
            Kind::Lines,
            "Records consumed per second",
            "By topic, of all consumers. A gap while consumers run is a rebalance or a stuck consumer.",
            "cps",
            HALF,
            vec![(format!("sum by (topic) (rate({}[$__rate_interval]))", consumed()), "{{topic}}")],
        ),
        panel(
            Kind::Steps,
            "Partitions assigned",
            "By pod. A pod at zero is idle; a large spread means that the work is shared unevenly.",
            "short",
            HALF,
            vec![(assigned_by_pod(), "{{pod}}")],
        ),
        panel(
            Kind::Lines,
            "Rebalances",
            "Completed rebalances per step, by pod. Each one pauses part of the work. Many in a row mean that pods come and go.",
            "short",
            HALF,
            vec![(
                format!("sum by (pod) (increase({}[$__rate_interval]))", consumers(REBALANCES)),
                "{{pod}}",
            )],
        ),
        panel(
            Kind::States,
            "Alerts",
            "When each of the group's alerts was pending or firing. The alert's description has the cure.",
            "short",
            COLUMNS,
            vec![(
                format!(
                    "max by (alertname) ({}) * 2 or max by (alertname) ({})",
                    alerts("firing"),
                    alerts("pending")
                ),
                "{{alertname}}",
            )],
        ),
    ]
}

fn all_groups() -> Vec<Panel> {
    let panel =
        |title, about, unit, queries| Panel { kind: Kind::Lines, title, about, unit, width: HALF, queries };
    vec![
        Panel::row("All groups of the namespace"),
        panel(
            "Lag / limit, by group",
            "Each group's average lag as a share of its limit. Groups above 110 % (with the default tolerance) are behind.",
            "percentunit",
            vec![(
                format!("{} / {}", of_all_groups("lag_records"), of_all_groups("lag_limit_records")),
                "{{name}}",
            )],
        ),
        panel(
            "Consumers / ceiling, by group",
            "Each group's consumers as a share of its ceiling. Groups at 100 % cannot scale up.",
            "percentunit",
            vec![(format!("{} / {}", of_all_groups("replicas"), of_all_groups("ceiling")), "{{name}}")],
        ),
    ]
}
