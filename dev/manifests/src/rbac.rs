//! Roles and bindings around the operator's rules, and the roles for the users of groups.

use kcg_api::names;
use kconsumer_group_operator::rbac::{self, PolicyRule, rule};
use serde_json::{Value, json};

/// The controller and the webhook for all namespaces.
pub fn cluster() -> Vec<Value> {
    controller_and_webhook("ClusterRole")
}

/// The controller and the webhook for one namespace, which kustomize sets.
pub fn namespace() -> Vec<Value> {
    controller_and_webhook("Role")
}

fn controller_and_webhook(kind: &str) -> Vec<Value> {
    [(names::CONTROLLER, rbac::controller()), (names::WEBHOOK, rbac::topics())]
        .into_iter()
        .flat_map(|(account, rules)| [role(kind, account, &rules), binding(kind, account, account)])
        .collect()
}

/// For a namespace with KafkaTopics that groups of other namespaces consume; kustomize sets the
/// namespace.
pub fn topic_namespace() -> Vec<Value> {
    let name = format!("{}-topics", names::OPERATOR);
    let mut both = binding("Role", &name, names::CONTROLLER);
    both["subjects"] = json!([subject(names::CONTROLLER), subject(names::WEBHOOK)]);
    vec![role("Role", &name, &rbac::topics()), both]
}

/// The leader election Lease, in the operator's namespace.
pub fn lease() -> Vec<Value> {
    in_own_namespace("lease", &rbac::lease(names::LEASE))
}

/// For the component `self-managed`: the certificate's Secret and both webhook configurations, each
/// by its name.
///
/// The cluster-scoped names begin with the installation's name and a colon, so that two
/// installations do not share them.
pub fn self_managed_certificates() -> Vec<Value> {
    let cluster_scoped = format!("{}:certificates", names::NAMESPACE);
    let mut objects = in_own_namespace("certificates", &rbac::certificate_secrets());
    objects.extend([
        role("ClusterRole", &cluster_scoped, &rbac::webhook_configurations(names::OPERATOR)),
        binding("ClusterRole", &cluster_scoped, names::CONTROLLER),
    ]);
    objects
}

/// A Role and its binding for the controller in the operator's own namespace.
fn in_own_namespace(purpose: &str, rules: &[PolicyRule]) -> Vec<Value> {
    let name = format!("{}-{purpose}", names::CONTROLLER);
    [role("Role", &name, rules), binding("Role", &name, names::CONTROLLER)]
        .map(|mut object| {
            object["metadata"]["namespace"] = json!(names::NAMESPACE);
            object
        })
        .into()
}

/// What the cluster's default roles view, edit and admin allow on groups. To create a group is to
/// create a Deployment, which edit and admin allow already.
pub fn user_roles() -> Vec<Value> {
    let groups = [names::PLURAL];
    let read = rule(names::GROUP, &groups, &["get", "list", "watch"]);
    let write = rule(names::GROUP, &groups, &["create", "update", "patch", "delete", "deletecollection"]);
    [("view", read, &["view", "edit", "admin"][..]), ("edit", write, &["edit", "admin"][..])]
        .into_iter()
        .map(|(name, rule, aggregated)| {
            let mut object = role("ClusterRole", &format!("{}-{name}", names::OPERATOR), &[rule]);
            for to in aggregated {
                let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
                object["metadata"]["labels"][label] = json!("true");
            }
            object
        })
        .collect()
}

fn role(kind: &str, name: &str, rules: &[PolicyRule]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": rules,
    })
}

/// Binds a role to one of the operator's ServiceAccounts.
fn binding(role_kind: &str, role: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": format!("{role_kind}Binding"),
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [subject(account)],
    })
}

fn subject(account: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": account, "namespace": names::NAMESPACE})
}
