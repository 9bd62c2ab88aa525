//! Rules for spec.metrics.endpoint and additionalEndpoints. prometheus-operator makes Prometheus'
//! configuration of them, so they must not be rejected there, must not reach beyond the group's own
//! pods, and must leave the labels alone by which the series are found.

mod credentials;
mod regex;
mod relabeling;

use std::collections::HashSet;

use super::field_errors::FieldErrors;
use super::messages;
use crate::duration;
use crate::endpoint::EndpointSpec;
use crate::group::{KconsumerGroupSpec, MetricsSpec};
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

const LABEL_NAME: &str =
    "must be a Prometheus label: letters, digits and underscores, not starting with a digit";
const LABEL_TEMPLATE: &str =
    "must be a Prometheus label, in which $1 or ${1} may stand for a group of the regex";
const EXPANDED: &str =
    "must not contain $(: prometheus-operator would replace it by a variable of its own environment";
const QUERY: &str = "must not contain a question mark: prometheus-operator would escape it";

/// The endpoints of the ServiceMonitor are accepted by prometheus-operator and reach only the
/// group's pods.
pub(crate) fn endpoints_are_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    let mut errors = FieldErrors::new(Rule::Endpoint, violations);
    let lag = lag_metrics(metrics);
    let lag: Vec<&str> = lag.iter().map(String::as_str).collect();
    scraped(&metrics.endpoint, &lag, "spec.metrics.endpoint", &mut errors);
    additional(metrics, "spec.metrics.additionalEndpoints", &mut errors);
}

/// A scrape ends before the next one begins, or prometheus-operator rejects the ServiceMonitor.
pub(crate) fn timeouts_are_within_intervals(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    let mut check = |path: &str, endpoint: &EndpointSpec, interval: &str| {
        let Some(timeout) = endpoint.scrape_timeout.as_deref() else { return };
        if duration::is_longer(timeout, interval) {
            let message = format!("must not be more than the interval, which is {interval}");
            let field = format!("{path}.scrapeTimeout");
            violations.push(Violation::invalid(Rule::ScrapeTimeout, field, timeout, message));
        }
    };
    check("spec.metrics.endpoint", &metrics.endpoint, metrics.interval());
    for (index, endpoint) in metrics.additional_endpoints.iter().take(MAX_ENDPOINTS).enumerate() {
        let interval = endpoint.interval.as_deref().unwrap_or(metrics.interval());
        check(&format!("spec.metrics.additionalEndpoints[{index}]"), &endpoint.scrape, interval);
    }
}

/// The Prometheus metrics that the lag is computed from.
fn lag_metrics(metrics: &MetricsSpec) -> Vec<String> {
    let client = metrics.preset().client_metrics();
    let series = || [client.records_lag, client.assigned_partitions].map(str::to_owned).into();
    metrics.lag_metric.clone().map_or_else(series, |metric| vec![metric])
}

/// Which endpoint has the lag is not known here, so these may drop it.
fn additional(metrics: &MetricsSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let endpoints = &metrics.additional_endpoints;
    if endpoints.len() > MAX_ENDPOINTS {
        return errors.too_many(path, endpoints.len(), MAX_ENDPOINTS);
    }
    let mut ports = HashSet::from([metrics.port()]);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !(1..=65535).contains(&endpoint.port) {
            errors.invalid(format!("{path}.port"), endpoint.port, messages::PORT);
        } else if !ports.insert(endpoint.port) {
            errors.duplicate(format!("{path}.port"), endpoint.port);
        }
        if !names::HTTP_PATH.matches(&endpoint.path) {
            errors.invalid(format!("{path}.path"), endpoint.path.as_str(), messages::PATH);
        } else if endpoint.path.contains('?') {
            errors.invalid(format!("{path}.path"), endpoint.path.as_str(), QUERY);
        }
        text(Some(&endpoint.path), &format!("{path}.path"), errors);
        let interval = endpoint.interval.as_deref();
        errors.follows(format!("{path}.interval"), interval, &names::DURATION, messages::DURATION);
        scraped(&endpoint.scrape, &[], &path, errors);
    }
}

fn scraped(endpoint: &EndpointSpec, lag: &[&str], path: &str, errors: &mut FieldErrors<'_>) {
    errors.one_of(format!("{path}.scheme"), endpoint.scheme.as_deref(), &SCHEMES);
    if endpoint.basic_auth.is_some() && endpoint.authorization.is_some() {
        errors.forbidden(format!("{path}.basicAuth"), messages::TWO_CREDENTIALS);
    }
    credentials::check(endpoint, path, errors);
    let timeout = endpoint.scrape_timeout.as_deref();
    errors.follows(format!("{path}.scrapeTimeout"), timeout, &names::DURATION, messages::DURATION);
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
    let main = ("metrics.endpoint".to_owned(), &spec.metrics.endpoint);
    let additional = spec.metrics.additional_endpoints.iter().take(MAX_ENDPOINTS).enumerate();
    let additional =
        additional.map(|(index, one)| (format!("metrics.additionalEndpoints[{index}]"), &one.scrape));
    let mut warnings = Vec::new();
    for (path, endpoint) in std::iter::once(main).chain(additional) {
        if endpoint.tls_config.is_some() && endpoint.scheme.as_deref() != Some("https") {
            warnings.push(format!("{path}.tlsConfig has no effect: scheme is not https"));
        }
        if relabeling::remove(&endpoint.metric_relabelings, "client_id") {
            warnings.push(format!(
                "{path} removes client_id: if a pod has several clients, their series become one"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
