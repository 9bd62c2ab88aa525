//! Whether a Prometheus selects the monitors and the PrometheusRules of the groups and of the operator.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};

use super::Check;
use super::findings::{Findings, Found, LabeledFinding, PrometheusFinding, SelectorPair};
use super::groups::joined;

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    let kind = |check, kind, field, objects, selectors| Selection { check, kind, field, objects, selectors };
    let monitors: Selectors = |prometheus| prometheus.monitors.as_ref();
    let rules: Selectors = |prometheus| prometheus.rules.as_ref();
    let mut checks = vec![
        kind(
            "scraping",
            "ServiceMonitor",
            "spec.metrics.labels",
            &findings.service_monitor_objects,
            monitors,
        )
        .check(findings),
        kind("alerting", "PrometheusRule", "spec.alerts.ruleLabels", &findings.rule_objects, rules)
            .check(findings),
    ];
    let pods: Selectors = |prometheus| prometheus.pod_monitors.as_ref();
    let installer = &findings.installer;
    let own = [
        ("scraping of the operator", "PodMonitor", installer.monitor_labels(), &findings.own_monitors, pods),
        ("alerting of the operator", "PrometheusRule", installer.rule_labels(), &findings.own_rules, rules),
    ];
    // They are optional: nothing is said of what is not installed.
    let installed = own
        .into_iter()
        .filter(|(_, _, _, objects, _)| objects.as_ref().map_or(true, |objects| !objects.is_empty()));
    checks.extend(installed.map(|(check, object, field, objects, selectors)| {
        kind(check, object, field, objects, selectors).check(findings)
    }));
    checks
}

/// What a Prometheus selects of one kind of objects.
type Selectors = fn(&PrometheusFinding) -> Option<&SelectorPair>;

/// One kind of object that Prometheus selects by its labels.
struct Selection<'a> {
    check: &'static str,
    kind: &'static str,
    /// What sets the labels: the field of a group, or a part of the installation.
    field: &'static str,
    objects: &'a Found<Vec<LabeledFinding>>,
    selectors: Selectors,
}

impl Selection<'_> {
    fn check(&self, findings: &Findings) -> Check {
        let objects = match self.objects {
            Err(why) => return Check::unknown(self.check, why),
            Ok(objects) => objects,
        };
        let prometheuses = match &findings.prometheuses {
            Err(why) => return Check::unknown(self.check, why),
            Ok(None) => {
                return Check::note(self.check, "skipped: the cluster serves no Prometheus resources", "");
            }
            Ok(Some(prometheuses)) => prometheuses,
        };
        let selecting: Vec<(&PrometheusFinding, &SelectorPair)> = prometheuses
            .iter()
            .filter_map(|prometheus| Some((prometheus, (self.selectors)(prometheus)?)))
            .collect();
        if selecting.is_empty() && !prometheuses.is_empty() {
            let found = format!("skipped: no Prometheus of the cluster reads {}s", self.kind);
            return Check::note(self.check, found, "");
        }
        let selected = |object: &LabeledFinding| {
            selecting.iter().any(|(prometheus, pair)| pair.select(&prometheus.namespace, object))
        };
        let unselected: Vec<String> = objects
            .iter()
            .filter(|object| !selected(object))
            .map(|object| format!("{}/{} (labels: {})", object.namespace, object.name, own_labels(object)))
            .collect();
        if unselected.is_empty() {
            return Check::ok(self.check, format!("all {} {}s are selected", objects.len(), self.kind));
        }
        let found = format!("no Prometheus selects the {} {}", self.kind, joined(&unselected));
        let known: Vec<String> =
            selecting.iter().map(|(prometheus, pair)| self.described(prometheus, pair)).collect();
        let cure = if known.is_empty() {
            "create a Prometheus".to_owned()
        } else {
            format!("set {} to match one of these: {}", self.field, joined(&known))
        };
        Check::wrong(self.check, found, cure)
    }

    fn described(&self, prometheus: &PrometheusFinding, pair: &SelectorPair) -> String {
        let labels = match pair.objects.clone().and_then(|selector| Selector::try_from(selector).ok()) {
            None => format!("no {}", self.kind),
            Some(selector) if selector.selects_all() => "any label, in other namespaces".to_owned(),
            Some(selector) => selector.to_string(),
        };
        format!("{}/{} for {labels}", prometheus.namespace, prometheus.name)
    }
}

/// The labels, without those that say what made the object.
fn own_labels(object: &LabeledFinding) -> String {
    let shown = object.labels.iter().filter(|(name, _)| !name.contains('/') && *name != "app");
    let shown: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
    if shown.is_empty() { "none of its own".to_owned() } else { shown.join(",") }
}

impl SelectorPair {
    /// Without a selector nothing is selected; without one of namespaces, only from its own
    /// namespace.
    fn select(&self, own_namespace: &str, object: &LabeledFinding) -> bool {
        let here = match &self.namespaces {
            None => own_namespace == object.namespace,
            Some(selector) => matches(selector, &object.namespace_labels),
        };
        here && self.objects.as_ref().is_some_and(|selector| matches(selector, &object.labels))
    }
}

/// An invalid selector selects nothing.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
