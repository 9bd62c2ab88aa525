//! The kinds that an operator reads and writes, and requests for them. Objects stay JSON: no operator's
//! types are used here.

use http::Request;
use serde_json::Value;

/// A kind of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    pub name: &'static str,
    pub plural: &'static str,
    /// The label that an operator selects by, if it does not need all objects.
    pub selector: Option<&'static str>,
}

const MANAGED: Option<&str> = Some("app.kubernetes.io/managed-by=kconsumer-group-operator");

const fn kind(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    selector: Option<&'static str>,
) -> Kind {
    Kind { group, version, name, plural, selector }
}

pub const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces", None);
pub const GROUP: Kind = kind("thenextapps.com", "v1alpha1", "KconsumerGroup", "kconsumergroups", None);
pub const TOPIC: Kind = kind("kafka.strimzi.io", "v1", "KafkaTopic", "kafkatopics", None);
pub const AUTOSCALER: Kind =
    kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", MANAGED);
pub const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments", MANAGED);
pub const SERVICE: Kind = kind("", "v1", "Service", "services", MANAGED);
pub const MONITOR: Kind = kind("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors", MANAGED);
pub const RULE: Kind = kind("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules", MANAGED);
pub const POD: Kind = kind("", "v1", "Pod", "pods", Some("thenextapps.com/kconsumergroup"));

/// The owned resources of a group.
pub const CHILDREN: [Kind; 5] = [DEPLOYMENT, SERVICE, AUTOSCALER, MONITOR, RULE];
/// Everything that decisions depend on.
pub const WATCHED: [Kind; 8] = [GROUP, TOPIC, AUTOSCALER, DEPLOYMENT, SERVICE, MONITOR, RULE, POD];

impl Kind {
    /// The path of all its objects.
    pub fn all(&self) -> String {
        let Self { group, version, plural, .. } = self;
        if group.is_empty() {
            format!("/api/{version}/{plural}")
        } else {
            format!("/apis/{group}/{version}/{plural}")
        }
    }

    /// The path of its objects in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> String {
        let all = self.all();
        let root = all.strip_suffix(self.plural).unwrap_or_default();
        format!("{root}namespaces/{namespace}/{}", self.plural)
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        let Self { group, version, .. } = self;
        if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") }
    }
}

/// A creation at the path of a kind.
pub fn post(path: &str, object: &Value) -> Request<Vec<u8>> {
    request("POST", path, "application/json", object.to_string().into_bytes())
}

/// A JSON merge patch of one object.
pub fn merge_patch(path: &str, patch: &Value) -> Request<Vec<u8>> {
    request("PATCH", path, "application/merge-patch+json", patch.to_string().into_bytes())
}

/// A read.
pub fn get(path: &str) -> Request<Vec<u8>> {
    request("GET", path, "application/json", Vec::new())
}

/// Any request.
pub fn request(method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    let request = Request::builder().method(method).uri(path).header("content-type", content_type);
    request.body(body).expect("invariant: paths are built from names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_api_group() {
        assert_eq!(SERVICE.in_namespace("a"), "/api/v1/namespaces/a/services");
        assert_eq!(DEPLOYMENT.in_namespace("a"), "/apis/apps/v1/namespaces/a/deployments");
        assert_eq!(GROUP.all(), "/apis/thenextapps.com/v1alpha1/kconsumergroups");
    }
}
