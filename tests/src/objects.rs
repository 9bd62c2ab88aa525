//! The kinds that the tests use, the objects that they start from, and how to read conditions.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub name: &'static str,
    pub plural: &'static str,
}

const fn kind(group: &'static str, version: &'static str, name: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, name, plural }
}

pub const GROUP: Kind = kind("thenextapps.com", "v1alpha1", "KconsumerGroup", "kconsumergroups");
pub const TOPIC: Kind = kind("kafka.strimzi.io", "v1", "KafkaTopic", "kafkatopics");
pub const SERVICE: Kind = kind("", "v1", "Service", "services");
pub const MONITOR: Kind = kind("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors");
pub const RULE: Kind = kind("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules");
pub const AUTOSCALER: Kind = kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
pub const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments");
pub const CONFIG_MAP: Kind = kind("", "v1", "ConfigMap", "configmaps");
pub const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces");
pub const POD: Kind = kind("", "v1", "Pod", "pods");
pub const EVENT: Kind = kind("events.k8s.io", "v1", "Event", "events");
pub const LEASE: Kind = kind("coordination.k8s.io", "v1", "Lease", "leases");
pub const CRD: Kind =
    kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
const RBAC: &str = "rbac.authorization.k8s.io";
pub const CLUSTER_ROLE: Kind = kind(RBAC, "v1", "ClusterRole", "clusterroles");
pub const CLUSTER_ROLE_BINDING: Kind = kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings");
pub const ROLE: Kind = kind(RBAC, "v1", "Role", "roles");
pub const ROLE_BINDING: Kind = kind(RBAC, "v1", "RoleBinding", "rolebindings");

/// The five children of a group, in the order in which the original operator created them.
pub const CHILDREN: [Kind; 5] = [SERVICE, MONITOR, RULE, AUTOSCALER, DEPLOYMENT];

impl Kind {
    pub fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    pub fn api_version(self) -> String {
        self.resource().api_version
    }
}

/// The shortest group of the topic `fast-data-topic`, with `spec` merged into its spec.
pub fn group(name: &str, spec: &Value) -> Value {
    let mut group = json!({
        "apiVersion": GROUP.api_version(),
        "kind": GROUP.name,
        "metadata": {"name": name},
        "spec": {"consumerSpec": {"image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}},
    });
    json_patch::merge(&mut group["spec"], spec);
    group
}

/// A KafkaTopic that Strimzi's topic operator would reconcile.
pub fn topic(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": TOPIC.api_version(),
        "kind": TOPIC.name,
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": "my-cluster"}},
        "spec": spec,
    })
}

/// Status, reason and message of one of an object's conditions; empty if it has no such condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> [&'a str; 3] {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind);
    ["status", "reason", "message"]
        .map(|field| found.and_then(|found| found[field].as_str()).unwrap_or_default())
}

/// Whether a group's status is of its latest spec and `Ready` has this status and reason.
pub fn is_ready(group: &Value, status: &str, reason: &str) -> bool {
    is_observed(group) && condition(group, "Ready")[..2] == [status, reason]
}

/// Whether a group's status is of its latest spec.
pub fn is_observed(group: &Value) -> bool {
    group["status"]["observedGeneration"] == group["metadata"]["generation"]
}

/// Asserts that `object` has all fields of `wanted`, with equal values. Lists have to be as long as wanted.
#[track_caller]
pub fn assert_contains(object: &Value, wanted: &Value) {
    if let Some(path) = first_difference(object, wanted) {
        panic!(
            "it differs at {path}: {:#}\nwanted: {wanted:#}",
            object.pointer(&path).unwrap_or(&Value::Null)
        );
    }
}

fn first_difference(object: &Value, wanted: &Value) -> Option<String> {
    let below = |key: &str, object: Option<&Value>, wanted: &Value| {
        first_difference(object.unwrap_or(&Value::Null), wanted)
            .map(|rest| format!("/{}{rest}", key.replace('~', "~0").replace('/', "~1")))
    };
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            wanted.iter().find_map(|(key, wanted)| below(key, object.get(key), wanted))
        }
        (Value::Array(object), Value::Array(wanted)) if object.len() == wanted.len() => {
            let items = object.iter().zip(wanted).enumerate();
            items
                .into_iter()
                .find_map(|(index, (object, wanted))| below(&index.to_string(), Some(object), wanted))
        }
        (object, wanted) => (object != wanted).then(String::new),
    }
}
