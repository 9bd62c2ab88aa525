//! The dashboard of the operator: whether it leads, keeps up, hears of changes and answers reviews, and for how long its
//! certificate lasts.

use serde_json::Value;

use super::{HALF, Kind, Panel, THIRD, Variable};

/// The series of one installation.
fn own(metric: &str) -> String {
    format!(r#"kconsumer_group_operator_{metric}{{namespace="$namespace"}}"#)
}

fn rate(counter: &str) -> String {
    format!("rate({}[$__rate_interval])", own(counter))
}

/// A quantile of a histogram of seconds, by the labels.
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
        [figures(), groups(), controller(), api(), webhook()].into_iter().flatten().collect();
    super::dashboard(
        "kcg-operator",
        "kconsumer-group-operator",
        "One installation of the operator: its controller and its webhook.",
        &variables,
        &panels,
    )
}

fn figures() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Leaders",
            "Controllers that hold the Lease: one, but for moments.",
            "short",
            format!("sum({})", own("leader")),
        ),
        Panel::stat(
            "Processes",
            "Controllers and webhooks that are scraped: two of each, as shipped.",
            "short",
            format!("count({})", own("build_info")),
        ),
        Panel::stat(
            "Groups",
            "KconsumerGroups that have a condition Ready.",
            "short",
            format!("sum(max by (status, reason) ({}))", ready()),
        ),
        Panel::stat(
            "Groups not ready",
            "kubectl get kcg -A says which, and why.",
            "short",
            r#"sum(max by (reason) (kconsumer_group_operator_groups{namespace="$namespace",type="Ready",status!="True"})) or vector(0)"#.to_owned(),
        ),
        Panel::stat(
            "Certificate's end",
            "Until the served certificate expires. It is renewed long before, and taken up without a restart.",
            "s",
            format!("min({} > 0) - time()", own("certificate_not_after_seconds")),
        ),
        Panel::stat(
            "CRD's version",
            "Beside the binary's: -1 older, 0 the same, 1 newer. Apply both of one version.",
            "short",
            format!("max({})", own("crd_skew")),
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
            title: "Groups by why they are ready or not",
            about: "The reason of each group's condition Ready; docs/troubleshooting.md has the cure for each reason.",
            unit: "short",
            width: HALF,
            queries: vec![(format!("max by (status, reason) ({})", ready()), "{{status}} {{reason}}")],
        },
        Panel {
            kind: Kind::Steps,
            title: "Groups by what is around them",
            about: "Topics that are known, metrics that are read, monitors that are accepted, groups that are at their ceiling and behind; the reason of each condition.",
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
            "Looks at groups a second",
            "By how they ended. Failed and Panicked ones are tried again; the log has the reason, and so has the group's condition Ready.",
            "ops",
            THIRD,
            vec![(format!("sum by (outcome) ({})", rate("reconciles_total")), "{{outcome}}")],
        ),
        lines(
            "Time of a look",
            "With all its requests to the API server; a look that has nothing to write makes none.",
            "s",
            THIRD,
            vec![
                (quantile(0.5, "reconcile_duration_seconds", ""), "half"),
                (quantile(0.99, "reconcile_duration_seconds", ""), "99 of 100"),
            ],
        ),
        lines(
            "Groups that wait",
            "For one of 32 workers. It falls to zero unless the API server is slow or groups change all the time.",
            "short",
            THIRD,
            vec![(format!("max by (pod) ({})", own("queue_depth")), "{{pod}}")],
        ),
        Panel {
            kind: Kind::Steps,
            title: "Who leads",
            about: "1 while a controller holds the Lease. Changes are restarts, or a Lease that could not be renewed.",
            unit: "short",
            width: THIRD,
            queries: vec![(format!("max by (pod) ({})", own("leader")), "{{pod}}")],
        },
        lines(
            "Age of the watches",
            "Since each last proved that it is alive, over all processes. One that grows beyond two minutes is cut off: what it tells of is held as it was.",
            "s",
            THIRD,
            vec![(format!("max by (watch) ({})", own("watch_age_seconds")), "{{watch}}")],
        ),
        Panel {
            kind: Kind::Steps,
            title: "Watches that have told everything",
            about: "1 once a watch has told everything that there is, in every process; until then its process does not work.",
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
            "Requests a second, by verb",
            "apply is what the operator writes; at rest only the Lease is renewed, by get and update or patch.",
            "reqps",
            HALF,
            vec![(format!("sum by (verb) ({})", rate("api_requests_total")), "{{verb}}")],
        ),
        lines(
            "Requests a second, by outcome",
            "The HTTP status. 403 is a missing right, 409 a write that somebody was ahead of, 429 and 5xx the API server's trouble, error no answer.",
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
            "Reviews a second, by verdict",
            "Two for each change of a group, one of either webhook; a refused one has the first rule that it breaks.",
            "reqps",
            THIRD,
            vec![(
                format!("sum by (decision, reason) ({})", rate("admissions_total")),
                "{{decision}} {{reason}}",
            )],
        ),
        lines(
            "Time of a review",
            "From the end of its head to the answer, 99 of 100. The API server waits for it.",
            "s",
            THIRD,
            vec![(quantile(0.99, "admission_duration_seconds", "stage"), "{{stage}}")],
        ),
        lines(
            "Connections",
            "Open on the admission port; the API server keeps a few.",
            "short",
            THIRD,
            vec![(format!("max by (pod) ({})", own("webhook_connections")), "{{pod}}")],
        ),
        lines(
            "Connections that failed, a second",
            "By reason: a handshake that failed is most often a certificate that the API server does not trust, or somebody else's probe.",
            "ops",
            HALF,
            vec![(
                format!("sum by (reason) ({}) or on() vector(0)", rate("webhook_connection_faults_total")),
                "{{reason}}",
            )],
        ),
        lines(
            "Until the certificates end",
            "The one that is served and its authority, by process; a step up is a renewal.",
            "s",
            HALF,
            vec![
                (format!("max by (pod) ({} > 0) - time()", own("certificate_not_after_seconds")), "{{pod}}"),
                (format!("max by (pod) ({} > 0) - time()", own("ca_not_after_seconds")), "{{pod}} authority"),
            ],
        ),
    ]
}
