//! Rules for spec.scaling.metrics: what the API server would refuse in the HorizontalPodAutoscaler,
//! with its own words (pkg/apis/autoscaling/validation), and a second statement of the lag.

use std::cmp::Ordering;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, ExternalMetricSource, MetricIdentifier,
    MetricSpec, MetricTarget, ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::field_errors::FieldErrors;
use super::template::{container_resource, dns_label, selector};
use crate::messages;
use crate::quantity::{self, GRAMMAR};
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// The path of the list.
pub(crate) const METRICS: &str = "spec.scaling.metrics";
/// The types of a metric, and the field that describes each.
pub(crate) const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
/// The types of a metric's target.
pub(crate) const TARGETS: [&str; 3] = ["Utilization", "Value", "AverageValue"];

const NO_RAW_VALUE: &str = "must set either a target raw value or a target utilization";
const TWO_VALUES: &str = "may not set both a target raw value and a target utilization";

/// The metrics pass autoscaling/v2 validation.
pub(crate) fn metrics_are_well_formed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let mut errors = FieldErrors::new(Rule::ScalingMetrics, violations);
    for (index, metric) in input.spec.scaling.metrics.iter().enumerate() {
        metric_spec(metric, &format!("{METRICS}[{index}]"), &mut errors);
    }
}

/// The limit of the lag is stated once, in spec.averageRecordsLagLimit. Its metric is found in the
/// HorizontalPodAutoscaler by its name.
pub(crate) fn lag_is_no_further_metric(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let lag = input.spec.metrics.lag_metrics();
    let mut errors = FieldErrors::new(Rule::ScalingMetrics, violations);
    for (index, metric) in input.spec.scaling.metrics.iter().enumerate() {
        let Some(pods) = &metric.pods else { continue };
        let field = format!("{METRICS}[{index}].pods.metric.name");
        if lag.contain(&pods.metric.name) {
            errors.invalid(field, pods.metric.name.as_str(), messages::LAG_STATED_TWICE);
        }
    }
}

fn metric_spec(metric: &MetricSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let own = SOURCES.iter().find(|(kind, _)| *kind == metric.type_).map(|(_, source)| *source);
    if metric.type_.is_empty() {
        errors.required(format!("{path}.type"), "must specify a metric source type");
    }
    if own.is_none() {
        errors.not_supported(format!("{path}.type"), &metric.type_, &SOURCES.map(|(kind, _)| kind));
    }
    let present = present(metric);
    if let Some(first) = present.first() {
        source(metric, first, &format!("{path}.{first}"), errors);
    }
    if let Some(own) = own.filter(|own| !present.contains(own)) {
        errors.required(format!("{path}.{own}"), "must populate information for the given metric source");
    }
    if present.len() > 1 {
        for other in present.iter().filter(|source| Some(**source) != own) {
            errors.forbidden(format!("{path}.{other}"), "must populate the given metric source only");
        }
    }
}

/// The sources that are set. The API server looks only into the first one.
fn present(metric: &MetricSpec) -> Vec<&'static str> {
    let sources = [
        ("object", metric.object.is_some()),
        ("external", metric.external.is_some()),
        ("pods", metric.pods.is_some()),
        ("resource", metric.resource.is_some()),
        ("containerResource", metric.container_resource.is_some()),
    ];
    sources.into_iter().filter(|(_, is_set)| *is_set).map(|(source, _)| source).collect()
}

fn source(metric: &MetricSpec, source: &str, path: &str, errors: &mut FieldErrors<'_>) {
    let MetricSpec { object, external, pods, resource, container_resource, .. } = metric;
    match source {
        "object" => object.iter().for_each(|source| object_source(source, path, errors)),
        "external" => external.iter().for_each(|source| external_source(source, path, errors)),
        "pods" => pods.iter().for_each(|source| pods_source(source, path, errors)),
        "resource" => resource.iter().for_each(|source| resource_source(source, path, errors)),
        _ => container_resource.iter().for_each(|source| container_source(source, path, errors)),
    }
}

fn object_source(source: &ObjectMetricSource, path: &str, errors: &mut FieldErrors<'_>) {
    reference(&source.described_object, &format!("{path}.describedObject"), errors);
    identifier(&source.metric, path, errors);
    target(&source.target, path, errors);
    if source.target.value.is_none() && source.target.average_value.is_none() {
        let message = "must set either a target value or averageValue";
        errors.required(format!("{path}.target.averageValue"), message);
    }
}

fn external_source(source: &ExternalMetricSource, path: &str, errors: &mut FieldErrors<'_>) {
    identifier(&source.metric, path, errors);
    target(&source.target, path, errors);
    match (&source.target.value, &source.target.average_value) {
        (None, None) => {
            let message = "must set either a target value for metric or a per-pod target";
            errors.required(format!("{path}.target.averageValue"), message);
        }
        (Some(_), Some(_)) => {
            let message = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(format!("{path}.target.value"), message);
        }
        _ => {}
    }
}

fn pods_source(source: &PodsMetricSource, path: &str, errors: &mut FieldErrors<'_>) {
    identifier(&source.metric, path, errors);
    target(&source.target, path, errors);
    if source.target.average_value.is_none() {
        let message = "must specify a positive target averageValue";
        errors.required(format!("{path}.target.averageValue"), message);
    }
}

fn resource_source(source: &ResourceMetricSource, path: &str, errors: &mut FieldErrors<'_>) {
    if source.name.is_empty() {
        errors.required(format!("{path}.name"), "must specify a resource name");
    }
    raw_or_utilization(&source.target, path, errors);
}

fn container_source(source: &ContainerResourceMetricSource, path: &str, errors: &mut FieldErrors<'_>) {
    if source.name.is_empty() {
        errors.required(format!("{path}.name"), "must specify a resource name");
    } else {
        container_resource(&source.name, &format!("{path}.name"), errors);
    }
    if source.container.is_empty() {
        errors.required(format!("{path}.container"), "must specify a container");
    } else {
        dns_label(&source.container, format!("{path}.container"), errors);
    }
    raw_or_utilization(&source.target, path, errors);
}

fn raw_or_utilization(written: &MetricTarget, path: &str, errors: &mut FieldErrors<'_>) {
    target(written, path, errors);
    match (written.average_utilization, &written.average_value) {
        (None, None) => errors.required(format!("{path}.target.averageUtilization"), NO_RAW_VALUE),
        (Some(_), Some(_)) => errors.forbidden(format!("{path}.target.averageValue"), TWO_VALUES),
        _ => {}
    }
}

fn target(target: &MetricTarget, path: &str, errors: &mut FieldErrors<'_>) {
    let path = format!("{path}.target");
    if target.type_.is_empty() {
        errors.required(format!("{path}.type"), "must specify a metric target type");
    }
    if !TARGETS.contains(&target.type_.as_str()) {
        let message = "must be either Utilization, Value, or AverageValue";
        errors.invalid(format!("{path}.type"), target.type_.as_str(), message);
    }
    positive(target.value.as_ref(), format!("{path}.value"), errors);
    positive(target.average_value.as_ref(), format!("{path}.averageValue"), errors);
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        errors.invalid(format!("{path}.averageUtilization"), percent, "must be greater than 0");
    }
}

fn positive(written: Option<&Quantity>, field: String, errors: &mut FieldErrors<'_>) {
    let Some(Quantity(text)) = written else { return };
    match quantity::sign(text) {
        None => errors.invalid(field, text.as_str(), GRAMMAR),
        Some(Ordering::Less | Ordering::Equal) => {
            errors.invalid(field, text.as_str(), "must be positive");
        }
        Some(Ordering::Greater) => {}
    }
}

fn reference(object: &CrossVersionObjectReference, path: &str, errors: &mut FieldErrors<'_>) {
    for (name, value) in [("kind", &object.kind), ("name", &object.name)] {
        if value.is_empty() {
            errors.required(format!("{path}.{name}"), "");
        }
        path_segment(value, &format!("{path}.{name}"), errors);
    }
    let version = object.api_version.as_deref().unwrap_or_default();
    if version.matches('/').count() > 1 {
        let message = format!("unexpected GroupVersion string: {version}");
        errors.invalid(format!("{path}.apiVersion"), version, &message);
    }
}

fn identifier(metric: &MetricIdentifier, path: &str, errors: &mut FieldErrors<'_>) {
    let path = format!("{path}.metric");
    if metric.name.is_empty() {
        errors.required(format!("{path}.name"), "must specify a metric name");
    }
    path_segment(&metric.name, &format!("{path}.name"), errors);
    // The API server stores any selector, and the HorizontalPodAutoscaler then cannot use it.
    selector(metric.selector.as_ref(), &format!("{path}.selector"), errors);
}

/// A text that can stand between two slashes of a URL.
fn path_segment(text: &str, field: &str, errors: &mut FieldErrors<'_>) {
    if matches!(text, "." | "..") {
        errors.invalid(field, text, &format!("may not be '{text}'"));
        return;
    }
    for illegal in ["/", "%"].into_iter().filter(|illegal| text.contains(illegal)) {
        errors.invalid(field, text, &format!("may not contain '{illegal}'"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;
    use serde_json::{Value, json};

    fn refusals(spec: &Value) -> Vec<String> {
        let spec: KconsumerGroupSpec = serde_json::from_value(spec.clone()).unwrap();
        let input = RuleInput::new(Some("k"), "default", &spec, &TopicGrants::Own);
        let mut violations = Vec::new();
        metrics_are_well_formed(&input, &mut violations);
        lag_is_no_further_metric(&input, &mut violations);
        let message = |violation: &Violation| {
            let text = violation.to_string();
            text.strip_prefix("spec.scaling.metrics[0].").expect("its path").to_owned()
        };
        violations.iter().map(message).collect()
    }

    #[track_caller]
    fn assert_refused(metric: &Value, want: &[&str]) {
        let refusals = refusals(&json!({"scaling": {"metrics": [metric]}}));
        assert_eq!(refusals.len(), want.len(), "{metric}: {refusals:?}");
        for (refusal, want) in refusals.iter().zip(want) {
            assert!(refusal.starts_with(want), "{metric}: {refusal} starts with {want}");
        }
    }

    fn pods(name: &str, target: &Value) -> Value {
        json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": target}})
    }

    #[test]
    fn each_kind_of_metric_is_accepted_as_autoscaling_documents_it() {
        let average = json!({"type": "AverageValue", "averageValue": "500m"});
        let value = json!({"type": "Value", "value": 30});
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"});
        let queue = json!({"matchLabels": {"queue": "q"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "Exists"}]});
        for metric in [
            pods("rate", &average),
            json!({"type": "Resource", "resource": {"name": "memory", "target": average}}),
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "k", "target": {"type": "Utilization", "averageUtilization": 60}}}),
            json!({"type": "Object", "object": {"describedObject": ingress, "metric": {"name": "requests"}, "target": value}}),
            json!({"type": "External", "external": {"metric": {"name": "age", "selector": queue}, "target": value}}),
        ] {
            assert_refused(&metric, &[]);
        }
    }

    #[test]
    fn the_block_of_the_type_and_no_other_is_needed() {
        assert_refused(
            &json!({}),
            &["type: Required value: must specify a metric source type", "type: Unsupported value: \"\""],
        );
        assert_refused(
            &json!({"type": "Gauge"}),
            &[
                "type: Unsupported value: \"Gauge\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
            ],
        );
        assert_refused(
            &json!({"type": "Pods"}),
            &["pods: Required value: must populate information for the given metric source"],
        );
        let mut two = pods("rate", &json!({"type": "AverageValue", "averageValue": 1}));
        two["resource"] = json!({"name": ""});
        assert_refused(&two, &["resource: Forbidden: must populate the given metric source only"]);
    }

    #[test]
    fn a_target_is_positive_and_of_a_kind_that_the_metric_can_have() {
        let resource =
            |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        let neither = "resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization";
        assert_refused(&resource(json!({"type": "Value", "value": 1})), &[neither]);
        assert_refused(
            &resource(json!({"type": "Percent", "averageUtilization": 0, "averageValue": "many"})),
            &[
                "resource.target.type: Invalid value: \"Percent\": must be either Utilization, Value, or AverageValue",
                "resource.target.averageValue: Invalid value: \"many\": quantities must match",
                "resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
                "resource.target.averageValue: Forbidden: may not set both",
            ],
        );
        assert_refused(
            &pods("", &json!({"type": "AverageValue", "averageValue": -1})),
            &[
                "pods.metric.name: Required value: must specify a metric name",
                "pods.target.averageValue: Invalid value: \"-1\": must be positive",
            ],
        );
        assert_refused(
            &pods("a/b", &json!({"type": "Value", "value": 1})),
            &[
                "pods.metric.name: Invalid value: \"a/b\": may not contain '/'",
                "pods.target.averageValue: Required value: must specify a positive target averageValue",
            ],
        );
        let external = |target: Value| json!({"type": "External", "external": {"metric": {"name": "q"}, "target": target}});
        assert_refused(&external(json!({"type": "Value"})), &["external.target.averageValue: Required"]);
        assert_refused(
            &external(json!({"type": "Value", "value": 1, "averageValue": 1})),
            &["external.target.value: Forbidden: may not set both a target value"],
        );
    }

    #[test]
    fn objects_containers_and_selectors_are_named_properly() {
        let value = json!({"type": "Value", "value": 1});
        let object = json!({"type": "Object", "object": {"describedObject": {"kind": "", "name": "..", "apiVersion": "a/b/c"}, "metric": {"name": "q"}, "target": value}});
        assert_refused(
            &object,
            &[
                "object.describedObject.kind: Required value",
                "object.describedObject.name: Invalid value: \"..\": may not be '..'",
                "object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            ],
        );
        let container = json!({"type": "ContainerResource", "containerResource": {"name": "gpus", "container": "A", "target": {"type": "Utilization", "averageUtilization": 1}}});
        assert_refused(
            &container,
            &[
                "containerResource.name: Invalid value: \"gpus\": must be a standard resource type",
                "containerResource.name: Invalid value: \"gpus\": must be a standard resource for containers",
                "containerResource.container: Invalid value: \"A\": a lowercase RFC 1123 label",
            ],
        );
        let selector = json!({"matchLabels": {"a b": "c"}, "matchExpressions": [
            {"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a", "operator": "Near", "values": ["b"]}]});
        let external = json!({"type": "External", "external": {"metric": {"name": "q", "selector": selector}, "target": value}});
        assert_refused(
            &external,
            &[
                "external.metric.selector.matchLabels: Invalid value: \"a b\"",
                "external.metric.selector.matchExpressions[0].values: Required value",
                "external.metric.selector.matchExpressions[1].values: Forbidden",
                "external.metric.selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector operator",
            ],
        );
    }

    #[test]
    fn the_lag_is_not_stated_a_second_time_under_any_of_its_names() {
        let target = json!({"type": "AverageValue", "averageValue": 1});
        let own = "pods.metric.name: Invalid value: \"kafka_consumer_fetch_manager_records_lag_pod_sum\": must not be the group's lag";
        let former = "pods.metric.name: Invalid value: \"kafka_consumer_fetch_manager_records_lag_max\": must not be the group's lag";
        assert_refused(&pods("kafka_consumer_fetch_manager_records_lag_pod_sum", &target), &[own]);
        assert_refused(&pods("kafka_consumer_fetch_manager_records_lag_max", &target), &[former]);
        assert_refused(&pods("kafka_consumer_fetch_manager_records_lag_pod_max", &target), &[]);
        let of_own = |name: &str| {
            refusals(&json!({"metrics": {"lagMetric": "lag"}, "scaling": {"metrics": [pods(name, &target)]}}))
        };
        assert_eq!(of_own("lag").len(), 1);
        assert_eq!(of_own("kafka_consumer_fetch_manager_records_lag_max").len(), 0);
    }
}
