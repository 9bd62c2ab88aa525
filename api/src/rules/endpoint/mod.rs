//! Rules for spec.metrics.endpoint and additionalEndpoints. prometheus-operator makes Prometheus'
//! configuration of them, so they must not be rejected there, must not reach beyond the group's own
//! pods, and must leave the labels alone by which the series are found.

mod credentials;
mod regex;
mod relabeling;

use std::collections::HashSet;

use super::field_errors::{FieldErrors, Path};
use crate::duration;
use crate::endpoint::EndpointSpec;
use crate::group::{KconsumerGroupSpec, MetricsSpec};
use crate::messages;
use crate::names;
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

pub(crate) use credentials::TLS_VERSIONS;
pub(crate) use relabeling::ACTIONS;
use relabeling::Stage;

/// The most additional endpoints.
pub(crate) const MAX_ENDPOINTS: usize = 5;
/// The most relabelings of one list.
pub(crate) const MAX_RELABELINGS: usize = 30;
/// The most source labels of a relabeling.
pub(crate) const MAX_SOURCE_LABELS: usize = 20;
/// The longest text of an endpoint, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;
pub(crate) const SCHEMES: [&str; 2] = ["http", "https"];

/// The path of the endpoint of the consumers, and of the further ones.
pub(crate) const MAIN: &str = "spec.metrics.endpoint";
pub(crate) const ADDITIONAL: &str = "spec.metrics.additionalEndpoints";

const LABEL_NAME: &str =
    "must be a Prometheus label: letters, digits and underscores, not starting with a digit";
const LABEL_TEMPLATE: &str =
    "must be a Prometheus label, in which $1 or ${1} may stand for a group of the regex";
pub(super) const EXPANDED: &str =
    "must not contain $(: prometheus-operator would replace it by a variable of its own environment";
pub(super) const QUERY: &str = "must not contain a question mark: prometheus-operator would escape it";

/// The endpoints of the ServiceMonitor are accepted by prometheus-operator and reach only the
/// group's pods.
pub(crate) fn endpoints_are_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    let mut errors = FieldErrors::new(Rule::Endpoint, violations);
    scraped(&metrics.endpoint, &lag_series(metrics), MAIN, &mut errors);
    additional(metrics, &mut errors);
}

/// A scrape ends before the next one begins, or prometheus-operator rejects the ServiceMonitor.
pub(crate) fn timeouts_are_within_intervals(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let mut errors = FieldErrors::new(Rule::ScrapeTimeout, violations);
    for Endpoint { path, scrape, interval } in each(&input.spec.metrics) {
        let timeout = scrape.scrape_timeout.as_deref();
        if let Some(timeout) = timeout.filter(|timeout| duration::is_longer(timeout, interval)) {
            let message = format!("must not be more than the interval, which is {interval}");
            errors.invalid(format!("{path}.scrapeTimeout"), timeout, &message);
        }
    }
}

/// An endpoint of the pods.
struct Endpoint<'a> {
    /// The path of its fields in the group.
    path: String,
    scrape: &'a EndpointSpec,
    interval: &'a str,
}

/// All endpoints of the pods. Of a list that is too long, the first ones.
fn each(metrics: &MetricsSpec) -> impl Iterator<Item = Endpoint<'_>> {
    let main = Endpoint { path: MAIN.to_owned(), scrape: &metrics.endpoint, interval: metrics.interval() };
    let additional = metrics.additional_endpoints.iter().take(MAX_ENDPOINTS).enumerate();
    std::iter::once(main).chain(additional.map(|(index, one)| Endpoint {
        path: format!("{ADDITIONAL}[{index}]"),
        scrape: &one.scrape,
        interval: one.interval.as_deref().unwrap_or(metrics.interval()),
    }))
}

/// The Prometheus metrics that the lag is computed from.
fn lag_series(metrics: &MetricsSpec) -> Vec<&str> {
    let client = metrics.preset().client_metrics();
    match &metrics.lag_metric {
        Some(metric) => vec![metric],
        None => vec![client.records_lag, client.assigned_partitions],
    }
}

/// Which endpoint has the lag is not known here, so these may drop it.
fn additional(metrics: &MetricsSpec, errors: &mut FieldErrors<'_>) {
    let endpoints = &metrics.additional_endpoints;
    if endpoints.len() > MAX_ENDPOINTS {
        return errors.too_many(ADDITIONAL, endpoints.len(), MAX_ENDPOINTS);
    }
    let mut ports = HashSet::from([metrics.port()]);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("{ADDITIONAL}[{index}]");
        if !(1..=65535).contains(&endpoint.port) {
            errors.invalid(format!("{path}.port"), endpoint.port, messages::PORT);
        } else if !ports.insert(endpoint.port) {
            errors.duplicate(format!("{path}.port"), endpoint.port);
        }
        if let Some(message) = wrong_path(&endpoint.path) {
            errors.invalid(format!("{path}.path"), endpoint.path.as_str(), message);
        }
        let interval = endpoint.interval.as_deref();
        errors.follows(format!("{path}.interval"), interval, &names::DURATION, messages::DURATION);
        scraped(&endpoint.scrape, &[], &path, errors);
    }
}

/// What is wrong with the path of an endpoint.
fn wrong_path(path: &str) -> Option<&'static str> {
    if !names::HTTP_PATH.matches(path) {
        Some(messages::PATH)
    } else if path.contains('?') {
        Some(QUERY)
    } else {
        path.contains("$(").then_some(EXPANDED)
    }
}

fn scraped(endpoint: &EndpointSpec, lag: &[&str], path: &str, errors: &mut FieldErrors<'_>) {
    errors.one_of(Path(|| format!("{path}.scheme")), endpoint.scheme.as_deref(), &SCHEMES);
    if endpoint.basic_auth.is_some() && endpoint.authorization.is_some() {
        errors.forbidden(format!("{path}.basicAuth"), messages::TWO_CREDENTIALS);
    }
    credentials::check(endpoint, path, errors);
    let timeout = endpoint.scrape_timeout.as_deref();
    errors.follows(Path(|| format!("{path}.scrapeTimeout")), timeout, &names::DURATION, messages::DURATION);
    let relabelings = format!("{path}.relabelings");
    relabeling::check(&endpoint.relabelings, Stage::Target, &relabelings, errors);
    let series = Stage::Series { metrics: lag };
    relabeling::check(&endpoint.metric_relabelings, series, &format!("{path}.metricRelabelings"), errors);
}

/// Whether a text is not too long and is passed on as it is.
fn text(value: Option<&str>, field: &str, errors: &mut FieldErrors<'_>) -> bool {
    let value = value.unwrap_or_default();
    let (is_long, is_expanded) = (value.len() > MAX_TEXT, value.contains("$("));
    if is_long {
        errors.too_long(field, value.len(), MAX_TEXT);
    } else if is_expanded {
        errors.invalid(field, value, EXPANDED);
    }
    !is_long && !is_expanded
}

/// Warnings about endpoints that are valid and probably not what is meant.
pub(super) fn warnings(spec: &KconsumerGroupSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    for Endpoint { path, scrape, .. } in each(&spec.metrics) {
        // A warning has 120 characters.
        let path = path.trim_start_matches("spec.");
        if scrape.tls_config.is_some() && scrape.scheme.as_deref() != Some("https") {
            warnings.push(format!("{path}.tlsConfig has no effect: scheme is not https"));
        }
        if relabeling::remove(&scrape.metric_relabelings, "client_id") {
            warnings.push(format!(
                "{path} removes client_id: if a pod has several clients, their series become one"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
