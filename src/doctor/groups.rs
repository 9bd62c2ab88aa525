//! Checks of the groups, their lag metrics and autoscalers, and whether a Prometheus selects them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};

use super::Check;
use super::findings::{AutoscalerFinding, Findings, GroupFinding, PrometheusFinding, ServiceMonitorFinding};

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    vec![groups(findings), metrics(findings), autoscalers(findings), scraping(findings)]
}

/// The most names in one line.
const MAX_NAMED: usize = 5;

fn joined(all: &[String]) -> String {
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
        Check::wrong(check, joined(&problems), "docs/troubleshooting.md has the cure for each reason")
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
        let cure = "check the consumer's metrics port and path, and the adapter's rule \
                    (deploy/prometheus-adapter/rules.yaml); a new metric can take the adapter's relist interval, up to 10 minutes";
        Check::wrong(check, joined(&missing), cure)
    }
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
    if problems.is_empty() {
        Check::ok(check, format!("all {} scale", autoscalers.len()))
    } else {
        Check::wrong(check, joined(&problems), "kubectl describe hpa NAME; most often the metric is missing")
    }
}

/// Whether a Prometheus selects each ServiceMonitor.
fn scraping(findings: &Findings) -> Check {
    let check = "scraping";
    let monitors = match &findings.service_monitor_objects {
        Err(why) => return Check::unknown(check, why),
        Ok(monitors) => monitors,
    };
    let prometheuses = match &findings.prometheuses {
        Err(why) => return Check::unknown(check, why),
        Ok(None) => return Check::note(check, "skipped: the cluster serves no Prometheus resources", ""),
        Ok(Some(prometheuses)) => prometheuses,
    };
    let unselected: Vec<String> = monitors
        .iter()
        .filter(|monitor| !prometheuses.iter().any(|prometheus| prometheus.selects(monitor)))
        .map(|monitor| format!("{}/{}", monitor.namespace, monitor.name))
        .collect();
    if unselected.is_empty() {
        return Check::ok(check, format!("all {} ServiceMonitors are selected", monitors.len()));
    }
    let selectors: Vec<String> = prometheuses.iter().map(PrometheusFinding::selector).collect();
    let found = format!("no Prometheus selects {}", joined(&unselected));
    let cure = if selectors.is_empty() {
        "create a Prometheus".to_owned()
    } else {
        format!("set spec.metrics.labels to match one of these: {}", joined(&selectors))
    };
    Check::wrong(check, found, cure)
}

impl PrometheusFinding {
    fn selects(&self, monitor: &ServiceMonitorFinding) -> bool {
        let here = match &self.namespaces {
            None => self.namespace == monitor.namespace,
            Some(selector) => matches(selector, &monitor.namespace_labels),
        };
        here && self.monitors.as_ref().is_some_and(|selector| matches(selector, &monitor.labels))
    }

    fn selector(&self) -> String {
        let selector = self.monitors.clone().and_then(|selector| Selector::try_from(selector).ok());
        let labels = match selector {
            None => "no ServiceMonitor".to_owned(),
            Some(selector) if selector.selects_all() => "any label, in other namespaces".to_owned(),
            Some(selector) => selector.to_string(),
        };
        format!("{}/{} for {labels}", self.namespace, self.name)
    }
}

/// An invalid selector selects nothing.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
