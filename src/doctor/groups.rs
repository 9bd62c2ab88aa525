//! Checks of the groups, their lag metrics and autoscalers.

use std::time::Duration;

use super::Check;
use super::findings::{AutoscalerFinding, Findings, GroupFinding, UnreadMetrics};
use super::installer::DOCS;

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    vec![groups(findings), metrics(findings), autoscalers(findings)]
}

/// The most names in one line.
const MAX_NAMED: usize = 5;

pub(super) fn joined(all: &[String]) -> String {
    let mut text = all.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    if all.len() > MAX_NAMED {
        text = format!("{text}; and {} more", all.len() - MAX_NAMED);
    }
    text
}

fn groups(findings: &Findings) -> Check {
    let check = "groups";
    let groups = match &findings.groups {
        Err(why) => return Check::unknown(check, why),
        Ok(groups) => groups,
    };
    let problem = |group: &GroupFinding| {
        Some(format!("{}/{}: {}", group.namespace, group.name, group.problem.as_ref()?))
    };
    let problems: Vec<String> = groups.iter().filter_map(problem).collect();
    if problems.is_empty() {
        Check::ok(check, format!("{} without a problem", groups.len()))
    } else {
        let cure = format!("{DOCS}/troubleshooting.md has the cure for each reason");
        Check::wrong(check, joined(&problems), cure)
    }
}

/// Skipped if there is no custom metrics API, which has a check of its own.
fn metrics(findings: &Findings) -> Check {
    let check = "lag metrics";
    let (Ok(autoscalers), Ok(Some(served))) = (&findings.autoscalers, &findings.pod_metrics) else {
        return Check::note(check, "skipped: there is no custom metrics API", "");
    };
    let waits = |scaler: &AutoscalerFinding| {
        let missing = scaler.metrics.iter().filter(|metric| !served.contains(metric));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        let waits = || format!("{}/{} waits for {}", scaler.namespace, scaler.name, missing.join(" and "));
        (!missing.is_empty()).then(waits)
    };
    let missing: Vec<String> = autoscalers.iter().filter_map(waits).collect();
    if missing.is_empty() {
        Check::ok(check, "served for every group")
    } else {
        let cure = "check the consumer's metrics port and path, and the adapter's rules \
                    (kconsumer-group-operator adapter-values prints them); a new metric can take the adapter's relist \
                    interval, up to 10 minutes";
        Check::wrong(check, joined(&missing), cure)
    }
}

/// The groups that are ready, and whose metrics have not been read for long. An autoscaler that reads
/// another metric, for example the CPU, reports itself as active all the same.
fn unread_for_long(findings: &Findings) -> Vec<String> {
    let ready = findings.groups.iter().flatten().filter(|group| group.problem.is_none());
    let line = |group: &GroupFinding| {
        let UnreadMetrics { why, duration } = group.unread_metrics.as_ref()?;
        Some(format!("{}/{} for {}: {why}", group.namespace, group.name, rounded(*duration)))
    };
    ready.filter_map(line).collect()
}

/// For example `7 min` or `3 h`.
fn rounded(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
}

fn autoscalers(findings: &Findings) -> Check {
    let check = "autoscalers";
    let autoscalers = match &findings.autoscalers {
        Err(why) => return Check::unknown(check, why),
        Ok(autoscalers) => autoscalers,
    };
    let problem = |scaler: &AutoscalerFinding| {
        Some(format!("{}/{}: {}", scaler.namespace, scaler.name, scaler.problem.as_ref()?))
    };
    let problems: Vec<String> = autoscalers.iter().filter_map(problem).collect();
    if !problems.is_empty() {
        return Check::wrong(
            check,
            joined(&problems),
            "kubectl describe hpa NAME; most often the metric is missing",
        );
    }
    let unread = unread_for_long(findings);
    if !unread.is_empty() {
        return Check::wrong(
            check,
            joined(&unread),
            "nothing scales these groups, or only up: kubectl describe kcg NAME, condition MetricsAvailable",
        );
    }
    let name = |scaler: &AutoscalerFinding| format!("{}/{}", scaler.namespace, scaler.name);
    let waiting: Vec<String> = autoscalers.iter().filter(|scaler| !scaler.has_read_lag).map(name).collect();
    if waiting.is_empty() {
        return Check::ok(check, format!("all {} scale", autoscalers.len()));
    }
    let scaling = autoscalers.len() - waiting.len();
    let found = format!("{scaling} scale; the lag is <unknown> so far for {}", joined(&waiting));
    Check::note(check, found, "wait a few minutes after a group's creation: doctor --wait 5m")
}
