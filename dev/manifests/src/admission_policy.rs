//! The ValidatingAdmissionPolicy that bounds what the controller may change in a webhook
//! configuration: RBAC grants `patch` on a whole object, the policy leaves `caBundle` of it.
//!
//! Without it, a stolen token of the controller could send any object of the cluster to a webhook of
//! the thief's choice.

use kcg_api::names;
use serde_json::{Value, json};

const GROUP: &str = "admissionregistration.k8s.io";

/// What the messages begin with.
const RULE: &str =
    "the controller of kconsumer-group-operator may change only webhooks[*].clientConfig.caBundle";

/// The policy and its binding, for the component `self-managed`.
///
/// It names no webhook configuration, so it also covers those that `--webhook-configuration-name`
/// chooses.
pub fn self_managed() -> Vec<Value> {
    let name = format!("{}.certificates", names::NAMESPACE);
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    let binding = json!({"policyName": name, "validationActions": ["Deny"]});
    vec![
        object("ValidatingAdmissionPolicy", policy(names::NAMESPACE)),
        object("ValidatingAdmissionPolicyBinding", binding),
    ]
}

/// The policy's spec for an installation in this namespace.
pub fn policy(namespace: &str) -> Value {
    let is_controller =
        format!("request.userInfo.username == 'system:serviceaccount:{namespace}:{}'", names::CONTROLLER);
    let webhooks = |object: &str| format!("{object}.?webhooks.orValue([])");
    json!({
        // An object for which an expression fails is refused.
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [GROUP],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "scope": "Cluster",
        }]},
        "matchConditions": [{"name": "is-controller", "expression": is_controller}],
        "variables": [
            {"name": "webhooks", "expression": webhooks("object")},
            {"name": "oldWebhooks", "expression": webhooks("oldObject")},
        ],
        "validations": [
            validation(
                "variables.webhooks.map(w, w.name) == variables.oldWebhooks.map(w, w.name)",
                "not the list of the webhooks",
            ),
            validation(&of_each_webhook(&unchanged("new", "old", &["clientConfig"])), "not another field of a webhook"),
            validation(
                &of_each_webhook(&unchanged("new.clientConfig", "old.clientConfig", &["caBundle"])),
                "not the url or the service of clientConfig",
            ),
            validation(
                &unchanged("object.metadata", "oldObject.metadata", &["managedFields", "resourceVersion", "generation"]),
                "not metadata",
            ),
        ],
    })
}

fn validation(expression: &str, rest: &str) -> Value {
    json!({"expression": expression, "message": format!("{RULE}, {rest}"), "reason": "Forbidden"})
}

/// A CEL expression: `condition` holds for each webhook `new` and the `old` one of its name.
fn of_each_webhook(condition: &str) -> String {
    format!(
        "variables.webhooks.all(new, variables.oldWebhooks.exists(old, old.name == new.name && {condition}))"
    )
}

/// A CEL expression: the objects have the same fields with the same values, except for those named.
/// It lists no other field, so it covers those that a later version of Kubernetes adds; `dyn`
/// because CEL knows the types and iterates over maps only.
fn unchanged(new: &str, old: &str, except: &[&str]) -> String {
    let except = format!("['{}']", except.join("', '"));
    format!(
        "dyn({new}).all(field, field in {except} || (field in dyn({old}) && dyn({new})[field] == dyn({old})[field])) \
         && dyn({old}).all(field, field in {except} || field in dyn({new}))"
    )
}
