//! The dashboard of a group: how far behind it is, how many consumers work on it, what holds it up.
//!
//! The consumers' own metrics are known by the group's Service, as its ServiceMonitor brings them; what the operator
//! knows comes from its own metrics, of which every controller tells the same.

use kcg_api::preset::Preset;
use serde_json::Value;

use super::{COLUMNS, HALF, Kind, Panel, Variable};

/// Clients of Java show the same figures under two names: Micrometer's, and those of the JMX exporter.
const CONSUMED: &str = "kafka_consumer_fetch_manager_records_consumed_total|kafka_consumer_consumer_fetch_manager_metrics_records_consumed_total";
const REBALANCES: &str =
    "kafka_consumer_coordinator_rebalance_total|kafka_consumer_consumer_coordinator_metrics_rebalance_total";
const ASSIGNED: &str = "kafka_consumer_coordinator_assigned_partitions|kafka_consumer_consumer_coordinator_metrics_assigned_partitions";

/// Every lag metric that a preset names.
fn lags() -> String {
    Preset::ALL.map(|preset| preset.endpoint().lag_metric).join("|")
}

/// The series of one group's consumers, by the names of one metric.
fn consumers(names: &str) -> String {
    format!(r#"{{__name__=~"{names}",namespace="$namespace",service="$group"}}"#)
}

/// One of the operator's figures of the group.
fn told(figure: &str) -> String {
    format!(r#"max(kconsumer_group_operator_group_{figure}{{namespace="$namespace",name="$group"}})"#)
}

/// One of the operator's figures of every group of the namespace.
fn told_of_all(figure: &str) -> String {
    format!(r#"max by (name) (kconsumer_group_operator_group_{figure}{{namespace="$namespace"}})"#)
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
    let panels: Vec<Panel> = [figures(), lag(), work(), all()].into_iter().flatten().collect();
    super::dashboard(
        "kcg-groups",
        "Kafka consumer groups",
        "One KconsumerGroup: its lag, its consumers and its ceiling, and what it was alerted for.",
        &variables,
        &panels,
    )
}

fn figures() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Partitions",
            "The partitions that count for the group: status.partitions.",
            "short",
            told("partitions"),
        ),
        Panel::stat(
            "Ceiling",
            "The most consumers that run: what the partitions keep busy, under spec.maxReplicas.",
            "short",
            told("ceiling"),
        ),
        Panel::stat("Consumers", "The consumers that exist: status.replicas.", "short", told("replicas")),
        Panel::stat(
            "Idle consumers",
            "Consumers that no partition is assigned to, as they say themselves (clients of Java do).",
            "short",
            format!("count({} == 0) or vector(0)", consumers(ASSIGNED)),
        ),
        Panel::stat(
            "Lag of its limit",
            "The average lag beside spec.averageRecordsLagLimit: above 100 % the autoscaler adds consumers, up to the ceiling.",
            "percentunit",
            format!("{} / {}", told("lag_records"), told("lag_limit_records")),
        ),
        Panel::stat(
            "Alerts that fire",
            "Of the group's own PrometheusRule. Below is when.",
            "short",
            format!("count({}) or vector(0)", alerts("firing")),
        ),
    ]
}

fn alerts(state: &str) -> String {
    format!(r#"ALERTS{{namespace="$namespace",kconsumergroup="$group",alertstate="{state}"}}"#)
}

fn lag() -> Vec<Panel> {
    let lag = consumers(&lags());
    vec![
        Panel::row("Lag"),
        Panel {
            kind: Kind::Lines,
            title: "Lag by partition",
            about: "How many records each partition is behind; by client where its metric does not tell partitions apart. One line above the others is a hot partition: more consumers cannot help it.",
            unit: "short",
            width: HALF,
            queries: vec![
                (format!("max by (topic, partition) ({lag} >= 0)"), "{{topic}}/{{partition}}"),
                (told("lag_limit_records"), "limit"),
            ],
        },
        Panel {
            kind: Kind::Lines,
            title: "Average lag",
            about: "Each pod's worst partition, averaged over the pods, which the group scales by: from the consumers' own metrics, and as the autoscaler last read it. Where the second line is missing, condition MetricsAvailable says why.",
            unit: "short",
            width: HALF,
            queries: vec![
                (format!("avg(max by (pod) ({lag} >= 0))"), "consumers"),
                (told("lag_records"), "autoscaler"),
                (told("lag_limit_records"), "limit"),
            ],
        },
    ]
}

fn work() -> Vec<Panel> {
    let panel = |kind, title, about, unit, width, queries| Panel { kind, title, about, unit, width, queries };
    vec![
        Panel::row("Consumers"),
        panel(
            Kind::Steps,
            "Consumers and their ceiling",
            "Consumers that exist and that are ready, under the most that the partitions allow. At the ceiling and still behind, only more partitions or a faster consumer help.",
            "short",
            HALF,
            vec![
                (told("replicas"), "consumers"),
                (told("ready_replicas"), "ready"),
                (told("ceiling"), "ceiling"),
                (told("partitions"), "partitions"),
            ],
        ),
        panel(
            Kind::Lines,
            "Records consumed a second",
            "By topic, over all consumers. A gap while consumers run is a rebalance, or a consumer that hangs.",
            "cps",
            HALF,
            vec![(format!("sum by (topic) (rate({}[$__rate_interval]))", consumers(CONSUMED)), "{{topic}}")],
        ),
        panel(
            Kind::Steps,
            "Partitions assigned",
            "By pod. A pod at zero does nothing; pods far apart share the work unevenly.",
            "short",
            HALF,
            vec![(format!("max by (pod) ({})", consumers(ASSIGNED)), "{{pod}}")],
        ),
        panel(
            Kind::Lines,
            "Rebalances",
            "Completed in each step, by pod: each stops some of the work for a moment. Many in a row are pods that come and go.",
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
            "When which of the group's alerts was pending or firing; each one's description says what to do.",
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

fn all() -> Vec<Panel> {
    let panel =
        |title, about, unit, queries| Panel { kind: Kind::Lines, title, about, unit, width: HALF, queries };
    vec![
        Panel::row("Every group of the namespace"),
        panel(
            "Lag of its limit, by group",
            "Each group's average lag beside its limit: those above 100 % are behind.",
            "percentunit",
            vec![(
                format!("{} / {}", told_of_all("lag_records"), told_of_all("lag_limit_records")),
                "{{name}}",
            )],
        ),
        panel(
            "Consumers of their ceiling, by group",
            "Each group's consumers beside the most that its partitions allow: those at 100 % cannot grow.",
            "percentunit",
            vec![(format!("{} / {}", told_of_all("replicas"), told_of_all("ceiling")), "{{name}}")],
        ),
    ]
}
