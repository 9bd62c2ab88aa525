//! The webhooks' registrations with the API server. Floor 1.
//!
//! The mutating one fails open, since the controller derives the same defaults; the validating one fails closed,
//! but only where a spec changes, so that labels, finalizers and owners can be edited while the webhook is away.

use kcg_api::names;
use serde_json::{Value, json};

/// Seconds that the API server waits for an answer; the webhook's own deadline is shorter.
pub const TIMEOUT_SECONDS: i32 = 5;
/// The port of the webhook's Service.
pub const SERVICE_PORT: i32 = 443;

/// A review is worth its time where a spec is new.
const SPEC_IS_NEW: &str = "request.operation == 'CREATE' || object.spec != oldObject.spec";

/// The label by which every namespace carries its own name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// For all namespaces but the cluster's own and the operator's, whose recovery must never wait for a webhook.
pub fn everywhere() -> Vec<Value> {
    both(&json!({"key": NAMESPACE_LABEL, "operator": "NotIn", "values": ["kube-system", names::NAMESPACE]}))
}

/// For the namespaces that the namespaced overlay names; kustomize adds them one by one.
pub fn nowhere_yet() -> Vec<Value> {
    both(&json!({"key": NAMESPACE_LABEL, "operator": "In", "values": []}))
}

fn both(namespaces: &Value) -> Vec<Value> {
    let mut mutating = webhook("mutate", "Ignore", namespaces);
    mutating["reinvocationPolicy"] = json!("IfNeeded");
    let validating = webhook("validate", "Fail", namespaces);
    vec![
        registration("MutatingWebhookConfiguration", &mutating),
        registration("ValidatingWebhookConfiguration", &validating),
    ]
}

fn registration(kind: &str, webhook: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": names::OPERATOR},
        "webhooks": [webhook],
    })
}

fn webhook(path: &str, failure_policy: &str, namespaces: &Value) -> Value {
    json!({
        "name": format!("{path}.{}.{}", names::PLURAL, names::GROUP),
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {
            "name": names::WEBHOOK,
            "namespace": names::NAMESPACE,
            "path": format!("/{path}"),
            "port": SERVICE_PORT,
        }},
        "rules": [{
            "apiGroups": [names::GROUP],
            "apiVersions": [names::VERSION],
            "operations": ["CREATE", "UPDATE"],
            "resources": [names::PLURAL],
            "scope": "Namespaced",
        }],
        "namespaceSelector": {"matchExpressions": [namespaces]},
        "matchConditions": [{"name": "spec-is-new", "expression": SPEC_IS_NEW}],
        "matchPolicy": "Equivalent",
        "failurePolicy": failure_policy,
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
    })
}
