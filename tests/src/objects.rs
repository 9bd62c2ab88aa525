//! The kinds that the tests use, the objects that they start from, and how to read conditions.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// The name, as in `Deployment`.
    pub name: &'static str,
    /// The plural, as in `deployments`.
    pub plural: &'static str,
}

macro_rules! kinds {
    ($($constant:ident: $group:literal $version:literal $name:literal $plural:literal)+) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Kind =
                Kind { group: $group, version: $version, name: $name, plural: $plural };
        )+
    };
}

kinds! {
    GROUP: "thenextapps.com" "v1alpha1" "KconsumerGroup" "kconsumergroups"
    TOPIC: "kafka.strimzi.io" "v1" "KafkaTopic" "kafkatopics"
    SERVICE: "" "v1" "Service" "services"
    MONITOR: "monitoring.coreos.com" "v1" "ServiceMonitor" "servicemonitors"
    RULE: "monitoring.coreos.com" "v1" "PrometheusRule" "prometheusrules"
    AUTOSCALER: "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers"
    DEPLOYMENT: "apps" "v1" "Deployment" "deployments"
    CONFIG_MAP: "" "v1" "ConfigMap" "configmaps"
    NAMESPACE: "" "v1" "Namespace" "namespaces"
    QUOTA: "" "v1" "ResourceQuota" "resourcequotas"
    POD: "" "v1" "Pod" "pods"
    EVENT: "events.k8s.io" "v1" "Event" "events"
    LEASE: "coordination.k8s.io" "v1" "Lease" "leases"
    CRD: "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions"
    CLUSTER_ROLE: "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles"
    CLUSTER_ROLE_BINDING: "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings"
    ROLE: "rbac.authorization.k8s.io" "v1" "Role" "roles"
    ROLE_BINDING: "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings"
}

/// The five children of a group, in the order in which the original operator created them.
pub const CHILDREN: [Kind; 5] = [SERVICE, MONITOR, RULE, AUTOSCALER, DEPLOYMENT];

impl Kind {
    /// The kind as kube's clients take it.
    pub fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(self) -> String {
        self.resource().api_version
    }
}

/// A short group of the topic `fast-data-topic`, whose pods are available at once, with `spec` merged
/// into its spec.
pub fn group(name: &str, spec: &Value) -> Value {
    let mut group = json!({
        "apiVersion": GROUP.api_version(),
        "kind": GROUP.name,
        "metadata": {"name": name},
        "spec": {
            "consumerSpec": {"image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"},
            "scaling": {"minReadySeconds": 0},
        },
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

/// Asserts that `object` has all fields of `wanted`, with equal values. Lists have to be as long as
/// wanted.
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
