//! The dashboard of one installation: leader election, reconciliations, watches, requests, reviews
//! and certificates.

use serde_json::Value;

use super::{HALF, Kind, Panel, THIRD, Variable};

/// The series of one installation.
fn own(metric: &str) -> String {
    format!(r#"kconsumer_group_operator_{metric}{{namespace="$namespace"}}"#)
}

fn rate(counter: &str) -> String {
    format!("rate({}[$__rate_interval])", own(counter))
}

/// A quantile of a histogram, by the labels.
fn quantile(quantile: f64, histogram: &str, labels: &str) -> String {
    let by = if labels.is_empty() { "le".to_owned() } else { format!("le, {labels}") };
    format!("histogram_quantile({quantile}, sum by ({by}) ({}))", rate(&format!("{histogram}_bucket")))
}

/// The dashboard, as Grafana imports it.
pub fn dashboard() -> Value {
    let variables = [Variable {
        name: "namespace",
        label: "Operator's namespace",
        values: "label_values(kconsumer_group_operator_watch_synced, namespace)".to_owned(),
    }];
    let panels: Vec<Panel> =
        [overview(), groups(), controller(), api(), webhook()].into_iter().flatten().collect();
    super::dashboard(
        "kcg-operator",
        "kconsumer-group-operator",
        "One installation of the operator: its controller and its webhook.",
        &variables,
        &panels,
    )
}

fn overview() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Leaders",
            "Controllers that hold the Lease: one, except during a change of leader.",
            "short",
            format!("sum({})", own("leader")),
        ),
        Panel::stat(
            "Processes",
            "Scraped controllers and webhooks; by default two of each.",
            "short",
            format!("count({})", own("build_info")),
        ),
        Panel::stat(
            "Groups",
            "KconsumerGroups with a condition Ready.",
            "short",
            format!("sum(max by (status, reason) ({}))", ready()),
        ),
        Panel::stat(
            "Groups not ready",
            "kubectl get kcg -A shows them and the reason.",
            "short",
            r#"sum(max by (reason) (kconsumer_group_operator_groups{namespace="$namespace",type="Ready",status!="True"})) or vector(0)"#.to_owned(),
        ),
        Panel::stat(
            "Certificate expires in",
            "The time until the served certificate expires. It is renewed before, without a restart.",
            "s",
            format!("min({} > 0) - time()", own("certificate_expiration_timestamp_seconds")),
        ),
        Panel::stat(
            "CRD version skew",
            "The CRD's version compared with the operator's: -1 older, 0 equal, 1 newer. Install both in the same version.",
            "short",
            format!("max({})", own("crd_version_skew")),
        ),
    ]
}

fn ready() -> String {
    r#"kconsumer_group_operator_groups{namespace="$namespace",type="Ready"}"#.to_owned()
}

fn groups() -> Vec<Panel> {
    let conditions = own("groups");
    vec![
        Panel::row("Groups"),
        Panel {
            kind: Kind::Steps,
            title: "Groups by reason of Ready",
            about: "Groups by status and reason of the condition Ready. docs/troubleshooting.md explains each reason.",
            unit: "short",
            width: HALF,
            queries: vec![(format!("max by (status, reason) ({})", ready()), "{{status}} {{reason}}")],
        },
        Panel {
            kind: Kind::Steps,
            title: "Groups by condition",
            about: "Groups by status and reason of each condition: topics resolved, metrics read, monitors accepted, groups at their ceiling and behind.",
            unit: "short",
            width: HALF,
            queries: vec![(
                format!("max by (type, status, reason) ({conditions})"),
                "{{type}} {{status}} {{reason}}",
            )],
        },
    ]
}

fn lines(
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    width: u64,
    queries: Vec<super::Query>,
) -> Panel {
    Panel { kind: Kind::Lines, title, about, unit, width, queries }
}

fn controller() -> Vec<Panel> {
    vec![
        Panel::row("Controller"),
        lines(
            "Reconciliations per second",
            "By outcome. Failed and Panicked reconciliations are retried; the log and the group's condition Ready have the reason.",
            "ops",
            THIRD,
            vec![(format!("sum by (outcome) ({})", rate("reconciles_total")), "{{outcome}}")],
        ),
        lines(
            "Duration of a reconciliation",
            "Includes the requests to the API server. A reconciliation without changes makes none.",
            "s",
            THIRD,
            vec![
                (quantile(0.5, "reconcile_duration_seconds", ""), "p50"),
                (quantile(0.99, "reconcile_duration_seconds", ""), "p99"),
            ],
        ),
        lines(
            "Workqueue depth",
            "Groups that wait for their reconcile. It returns to zero unless the API server is slow or groups change constantly.",
            "short",
            THIRD,
            vec![(format!("max by (pod) ({})", own("workqueue_depth")), "{{pod}}")],
        ),
        Panel {
            kind: Kind::Steps,
            title: "Leader",
            about: "1 while a controller holds the Lease. The leader changes after a restart, or if the Lease could not be renewed.",
            unit: "short",
            width: THIRD,
            queries: vec![(format!("max by (pod) ({})", own("leader")), "{{pod}}")],
        },
        lines(
            "Watch age",
            "Seconds since each watch was last known to be alive, the maximum of all processes. Above two minutes the connection is lost, and decisions use the last known state.",
            "s",
            THIRD,
            vec![(format!("max by (watch) ({})", own("watch_age_seconds")), "{{watch}}")],
        ),
        Panel {
            kind: Kind::Steps,
            title: "Watches in sync",
            about: "1 if the watch has listed all objects in every process. A process does not start work before.",
            unit: "short",
            width: THIRD,
            queries: vec![(format!("min by (watch) ({})", own("watch_synced")), "{{watch}}")],
        },
    ]
}

fn api() -> Vec<Panel> {
    vec![
        Panel::row("Requests to the API server"),
        lines(
            "Requests per second, by verb",
            "apply is a write of the operator. If nothing changes, the only requests renew the Lease.",
            "reqps",
            HALF,
            vec![(format!("sum by (verb) ({})", rate("api_requests_total")), "{{verb}}")],
        ),
        lines(
            "Requests per second, by HTTP status",
            "403 is a missing RBAC rule, 409 a conflicting write, 429 and 5xx an overloaded or failing API server; `error` is a request without an answer.",
            "reqps",
            HALF,
            vec![(format!("sum by (code) ({})", rate("api_requests_total")), "{{code}}")],
        ),
    ]
}

fn webhook() -> Vec<Panel> {
    vec![
        Panel::row("Webhook"),
        lines(
            "Reviews per second, by decision",
            "Two for each change of a group, one for each webhook. The reason of a refusal is the first rule that the group breaks.",
            "reqps",
            THIRD,
            vec![(
                format!("sum by (decision, reason) ({})", rate("admission_reviews_total")),
                "{{decision}} {{reason}}",
            )],
        ),
        lines(
            "Duration of a review",
            "From the end of the request's head to the answer, p99. The API server waits for it.",
            "s",
            THIRD,
            vec![(quantile(0.99, "admission_duration_seconds", "stage"), "{{stage}}")],
        ),
        lines(
            "Connections",
            "Open connections on the admission port. The API server keeps a few open.",
            "short",
            THIRD,
            vec![(format!("max by (pod) ({})", own("webhook_connections")), "{{pod}}")],
        ),
        lines(
            "Failed connections per second",
            "By reason. A failed handshake usually means that the API server does not trust the certificate, or that another client probes the port.",
            "ops",
            HALF,
            vec![(
                format!("sum by (reason) ({}) or on() vector(0)", rate("webhook_connection_errors_total")),
                "{{reason}}",
            )],
        ),
        lines(
            "Certificates expire in",
            "The served certificate and its CA, by process. A step up is a renewal.",
            "s",
            HALF,
            vec![
                (
                    format!(
                        "max by (pod) ({} > 0) - time()",
                        own("certificate_expiration_timestamp_seconds")
                    ),
                    "{{pod}}",
                ),
                (
                    format!("max by (pod) ({} > 0) - time()", own("ca_expiration_timestamp_seconds")),
                    "{{pod}} CA",
                ),
            ],
        ),
    ]
}
