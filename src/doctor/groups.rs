//! What groups suffer from: themselves, their autoscalers, a Prometheus that passes their monitors over.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};

use super::{Autoscaler, Check, Findings, Group, Monitor, Prometheus};

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    vec![groups(findings), metrics(findings), autoscalers(findings), scraped(findings)]
}

/// As many names as one line takes.
const MOST_NAMED: usize = 5;

fn listed(all: &[String]) -> String {
    let mut text = all.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    if all.len() > MOST_NAMED {
        text = format!("{text}; and {} more", all.len() - MOST_NAMED);
    }
    text
}

fn groups(findings: &Findings) -> Check {
    let check = "groups";
    let groups = match &findings.groups {
        Err(why) => return Check::unknown(check, why),
        Ok(groups) => groups,
    };
    let said =
        |group: &Group| Some(format!("{}/{}: {}", group.namespace, group.name, group.trouble.as_ref()?));
    let troubled: Vec<String> = groups.iter().filter_map(said).collect();
    if troubled.is_empty() {
        Check::ok(check, format!("{}, none in trouble", groups.len()))
    } else {
        Check::wrong(check, listed(&troubled), "docs/troubleshooting.md has the cure for each reason")
    }
}

/// Only where metrics are offered at all; their absence has a check of its own.
fn metrics(findings: &Findings) -> Check {
    let check = "lag metrics";
    let (Ok(autoscalers), Ok(Some(offered))) = (&findings.autoscalers, &findings.metrics) else {
        return Check::note(check, "no custom metrics API to look at", "");
    };
    let missing: Vec<String> = autoscalers
        .iter()
        .filter(|scaler| !offered.contains(&scaler.metric))
        .map(|scaler| format!("{}/{} waits for {}", scaler.namespace, scaler.name, scaler.metric))
        .collect();
    if missing.is_empty() {
        Check::ok(check, "offered for every group")
    } else {
        let cure = "the consumer's metrics port and path, the adapter's rule (deploy/prometheus-adapter/rules.yaml); a new metric may take the \
                    adapter's relist interval, up to 10 minutes";
        Check::wrong(check, listed(&missing), cure)
    }
}

fn autoscalers(findings: &Findings) -> Check {
    let check = "autoscalers";
    let autoscalers = match &findings.autoscalers {
        Err(why) => return Check::unknown(check, why),
        Ok(autoscalers) => autoscalers,
    };
    let said = |scaler: &Autoscaler| {
        Some(format!("{}/{}: {}", scaler.namespace, scaler.name, scaler.trouble.as_ref()?))
    };
    let troubled: Vec<String> = autoscalers.iter().filter_map(said).collect();
    if troubled.is_empty() {
        Check::ok(check, format!("{}, all scaling", autoscalers.len()))
    } else {
        Check::wrong(check, listed(&troubled), "kubectl describe hpa NAME; most often the metric is missing")
    }
}

/// Whether each monitor is selected by a Prometheus.
fn scraped(findings: &Findings) -> Check {
    let check = "scraping";
    let monitors = match &findings.monitors {
        Err(why) => return Check::unknown(check, why),
        Ok(monitors) => monitors,
    };
    let prometheuses = match &findings.prometheuses {
        Err(why) => return Check::unknown(check, why),
        Ok(None) => return Check::note(check, "the cluster knows no Prometheus resources to look at", ""),
        Ok(Some(prometheuses)) => prometheuses,
    };
    let passed_over: Vec<String> = monitors
        .iter()
        .filter(|monitor| !prometheuses.iter().any(|prometheus| prometheus.selects(monitor)))
        .map(|monitor| format!("{}/{}", monitor.namespace, monitor.name))
        .collect();
    if passed_over.is_empty() {
        return Check::ok(check, format!("every one of {} monitors is selected", monitors.len()));
    }
    let selectors: Vec<String> = prometheuses.iter().map(Prometheus::asks_for).collect();
    let found = format!("no Prometheus selects {}", listed(&passed_over));
    let cure = if selectors.is_empty() {
        "create a Prometheus".to_owned()
    } else {
        format!("set spec.metrics.labels to what one asks for: {}", listed(&selectors))
    };
    Check::wrong(check, found, cure)
}

impl Prometheus {
    fn selects(&self, monitor: &Monitor) -> bool {
        let here = match &self.namespaces {
            None => self.namespace == monitor.namespace,
            Some(selector) => matches(selector, &monitor.namespace_labels),
        };
        here && self.monitors.as_ref().is_some_and(|selector| matches(selector, &monitor.labels))
    }

    fn asks_for(&self) -> String {
        let selector = self.monitors.clone().and_then(|selector| Selector::try_from(selector).ok());
        let labels = match selector {
            None => "no monitor at all".to_owned(),
            Some(selector) if selector.selects_all() => "any label, in other namespaces".to_owned(),
            Some(selector) => selector.to_string(),
        };
        format!("{}/{} for {labels}", self.namespace, self.name)
    }
}

/// A selector that cannot be read selects nothing.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
