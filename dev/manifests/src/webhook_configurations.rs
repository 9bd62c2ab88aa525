//! The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration.
//!
//! The mutating webhook fails open, because the controller applies the same defaults. The
//! validating webhook fails closed, but the API server calls it only if a spec changes, so that
//! labels, finalizers and owners can be edited during an outage of the webhook.

use kcg_api::names;
use serde_json::{Value, json};

/// How long the API server waits for an answer, in seconds; the webhook's own deadline is shorter.
pub const TIMEOUT_SECONDS: i32 = 5;
/// The port of the webhook's Service.
pub const SERVICE_PORT: i32 = 443;

/// A CEL expression: only a new spec is reviewed.
const SPEC_IS_NEW: &str = "request.operation == 'CREATE' || object.spec != oldObject.spec";

/// The label that holds a namespace's own name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// For all namespaces except kube-system: its recovery must not depend on a webhook. The operator's
/// own namespace is not listed, because kustomize does not rename it there.
pub fn cluster() -> Vec<Value> {
    mutating_and_validating(&json!({"key": NAMESPACE_LABEL, "operator": "NotIn", "values": ["kube-system"]}))
}

/// For no namespace; kustomize adds those that the namespaced scope names.
pub fn namespaced() -> Vec<Value> {
    mutating_and_validating(&json!({"key": NAMESPACE_LABEL, "operator": "In", "values": []}))
}

fn mutating_and_validating(namespaces: &Value) -> Vec<Value> {
    let mut mutating = webhook("mutate", "Ignore", namespaces);
    mutating["reinvocationPolicy"] = json!("IfNeeded");
    let validating = webhook("validate", "Fail", namespaces);
    vec![
        configuration("MutatingWebhookConfiguration", &mutating),
        configuration("ValidatingWebhookConfiguration", &validating),
    ]
}

fn configuration(kind: &str, webhook: &Value) -> Value {
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
