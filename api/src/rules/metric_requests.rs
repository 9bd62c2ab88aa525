//! What spec.scaling.metrics needs of the pods: requests, from which a utilization is computed, and
//! the containers that are named.
//!
//! A HorizontalPodAutoscaler without them would never remove a consumer: it scales down only if it
//! can read all of its metrics.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::autoscaling::v2::MetricTarget;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::field_errors::FieldErrors;
use super::metric_specs::METRICS;
use super::pod;
use crate::overlay::ContainerMerge;
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// Each container has a request for the resources whose utilization scales the group, and a
/// container that is named exists.
pub(crate) fn utilization_has_requests(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.scaling.metrics;
    if metrics.iter().all(|metric| metric.resource.is_none() && metric.container_resource.is_none()) {
        return;
    }
    // Before generateName has made a name, any container may be the consumer's. What breaks the
    // overlay is a violation of its own.
    let Some(pod) = input.container_name().and_then(|consumer| Pod::of(input, consumer)) else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::ScalingMetrics, violations);
    let mut missing = BTreeSet::new();
    for (index, metric) in metrics.iter().enumerate() {
        if let Some(source) = metric.resource.as_ref().filter(|source| is_utilization(&source.target)) {
            missing.extend(pod.without_request(&source.name).map(|of| (of, source.name.as_str())));
        }
        let Some(source) = &metric.container_resource else { continue };
        let Some(of) = pod.containers.iter().find(|of| of.name == source.container) else {
            if !source.container.is_empty() {
                let field = format!("{METRICS}[{index}].containerResource.container");
                errors.not_found(field, &source.container);
            }
            continue;
        };
        if is_utilization(&source.target) && !of.requests(&source.name) {
            missing.insert((of, source.name.as_str()));
        }
    }
    for (of, resource) in missing {
        let detail = format!(
            "{METRICS} has a utilization of {resource}, which is computed from the requests, and container {:?} has none",
            of.name
        );
        errors.required(format!("{}.requests[{resource}]", of.path), &detail);
    }
}

/// The HorizontalPodAutoscaler prefers a raw value and ignores the target's type.
fn is_utilization(target: &MetricTarget) -> bool {
    target.average_value.is_none() && target.average_utilization.is_some()
}

/// The resources of the pods, as the HorizontalPodAutoscaler sees them.
struct Pod {
    /// spec.resources of the pods.
    whole: Resources,
    /// Those that run as long as the pod does.
    containers: Vec<Running>,
}

/// A container that runs as long as its pod.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Running {
    /// The path of its resources in the group.
    path: String,
    name: String,
    resources: Resources,
}

/// The names of the resources with a request.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Resources(Vec<String>);

impl Resources {
    /// A limit without a request is the request, too: the API server fills it in.
    fn of(resources: Option<&ResourceRequirements>) -> Self {
        let names = |list: Option<&BTreeMap<String, Quantity>>| {
            list.into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let lists = resources.map(|resources| [&resources.requests, &resources.limits]);
        Self(lists.into_iter().flatten().flat_map(|list| names(list.as_ref())).collect())
    }

    fn has(&self, resource: &str) -> bool {
        self.0.iter().any(|name| name == resource)
    }
}

impl Running {
    fn requests(&self, resource: &str) -> bool {
        self.resources.has(resource)
    }
}

impl Pod {
    /// The pods of a group: the consumer's container, with the overlay merged into it.
    fn of(input: &RuleInput<'_>, consumer: &str) -> Option<Self> {
        let resources = &input.spec.consumer_spec.resources;
        let container = json!({"name": consumer, "resources": resources});
        let base = json!({"spec": {"containers": [container]}});
        let template = match &input.overlay {
            Some(parsed) => parsed.overlay.as_ref()?.apply_to(base, ContainerMerge::InPlace).ok()?,
            None => serde_json::from_value(base).ok()?,
        };
        let written = input.overlaid_pod();
        let merged: PodSpec = template.spec?;
        let is_sidecar = |of: &&Container| of.restart_policy.as_deref() == Some("Always");
        let init = merged.init_containers.iter().flatten().filter(is_sidecar);
        let path = |of: &Container| {
            let mut written = written.into_iter().flat_map(pod::containers);
            match written.find(|(_, container)| container.name == of.name) {
                Some((path, _)) if of.name != consumer => format!("{path}.resources"),
                _ => "spec.consumerSpec.resources".to_owned(),
            }
        };
        let running = |of: &Container| Running {
            path: path(of),
            name: of.name.clone(),
            resources: Resources::of(of.resources.as_ref()),
        };
        Some(Self {
            whole: Resources::of(merged.resources.as_ref()),
            containers: merged.containers.iter().chain(init).map(running).collect(),
        })
    }

    /// The containers whose requests are missing. Requests of the whole pod stand for those of its
    /// containers.
    fn without_request(&self, resource: &str) -> impl Iterator<Item = &Running> {
        let is_enough = self.whole.has(resource)
            || (!self.whole.0.is_empty() && self.containers.iter().any(|of| of.requests(resource)));
        self.containers.iter().filter(move |of| !is_enough && !of.requests(resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;
    use serde_json::Value;

    fn utilization(resource: &str) -> Value {
        json!({"type": "Resource", "resource": {"name": resource, "target": {"type": "Utilization", "averageUtilization": 70}}})
    }

    fn of_container(container: &str, target: &Value) -> Value {
        json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": container, "target": target}})
    }

    #[track_caller]
    fn assert_refused(consumer: &Value, metrics: &[Value], want: &[&str]) {
        let spec: KconsumerGroupSpec =
            serde_json::from_value(json!({"consumerSpec": consumer, "scaling": {"metrics": metrics}}))
                .unwrap();
        let mut violations = Vec::new();
        utilization_has_requests(
            &RuleInput::new(Some("k"), "default", &spec, &TopicGrants::Own),
            &mut violations,
        );
        let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), want.len(), "{messages:?}");
        for (message, want) in messages.iter().zip(want) {
            assert!(message.starts_with(want), "{message} starts with {want}");
        }
    }

    const NO_CPU: &str = "spec.consumerSpec.resources.requests[cpu]: Required value: spec.scaling.metrics has a utilization of cpu, which is computed from the requests, and container \"k\" has none";

    #[test]
    fn a_utilization_needs_a_request_of_the_consumer() {
        let cpu = [utilization("cpu")];
        assert_refused(&json!({}), &cpu, &[NO_CPU]);
        assert_refused(&json!({"resources": {"requests": {"memory": "1Gi"}}}), &cpu, &[NO_CPU]);
        assert_refused(&json!({"resources": {"requests": {"cpu": "1"}}}), &cpu, &[]);
        // The API server takes the limit for a request that is not written.
        assert_refused(&json!({"resources": {"limits": {"cpu": "1"}}}), &cpu, &[]);
        let overlay = json!({"spec": {"containers": [{"name": "k", "resources": {"requests": {"cpu": 1}}}]}});
        assert_refused(&json!({"podTemplate": overlay}), &cpu, &[]);
        let removed = json!({"spec": {"containers": [{"name": "k", "resources": null}]}});
        let with_request = json!({"resources": {"requests": {"cpu": "1"}}, "podTemplate": removed});
        assert_refused(&with_request, &cpu, &[NO_CPU]);
        let both = [utilization("cpu"), utilization("memory"), utilization("cpu")];
        assert_refused(
            &json!({}),
            &both,
            &[NO_CPU, "spec.consumerSpec.resources.requests[memory]: Required"],
        );
    }

    #[test]
    fn a_raw_value_needs_no_request() {
        let raw = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "500m"}}});
        assert_refused(&json!({}), &[raw], &[]);
        assert_refused(&json!({}), &[of_container("k", &json!({"averageValue": "1"}))], &[]);
    }

    #[test]
    fn sidecars_need_a_request_too_unless_the_pod_has_one() {
        let pod = |resources: &Value| {
            json!({"resources": {"requests": {"cpu": "1"}}, "podTemplate": {"spec": {
                "resources": resources,
                "containers": [{"name": "k"}, {"name": "proxy", "image": "i"}],
                "initContainers": [
                    {"name": "migrate", "image": "i"},
                    {"name": "mesh", "image": "i", "restartPolicy": "Always"}]}}})
        };
        let cpu = [utilization("cpu")];
        let missing = [
            "spec.consumerSpec.podTemplate.spec.containers[1].resources.requests[cpu]: Required value",
            "spec.consumerSpec.podTemplate.spec.initContainers[1].resources.requests[cpu]: Required value",
        ];
        assert_refused(&pod(&json!({})), &cpu, &missing);
        assert_refused(&pod(&json!({"requests": {"cpu": "2"}})), &cpu, &[]);
        assert_refused(&pod(&json!({"requests": {"memory": "1Gi"}})), &cpu, &[]);
    }

    #[test]
    fn a_named_container_exists_and_has_a_request_of_its_own() {
        let percent = json!({"type": "Utilization", "averageUtilization": 70});
        let unknown = "spec.scaling.metrics[0].containerResource.container: Not found: \"proxy\"";
        assert_refused(&json!({}), &[of_container("proxy", &percent)], &[unknown]);
        assert_refused(&json!({}), &[of_container("k", &percent)], &[NO_CPU]);
        let sidecar = json!({"podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "i"}]}}, "resources": {"requests": {"cpu": "1"}}});
        assert_refused(&sidecar, &[of_container("k", &percent)], &[]);
        let missing = "spec.consumerSpec.podTemplate.spec.containers[0].resources.requests[cpu]: Required";
        assert_refused(&sidecar, &[of_container("proxy", &percent)], &[missing]);
    }
}
