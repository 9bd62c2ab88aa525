//! Who may do what: the controller, the webhook, and people. Floor 1. A right stands here once, whether it is
//! granted in every namespace or in a few.

use kcg_api::{names, topic};
use serde_json::{Value, json};

use crate::children::ChildKind;

/// One rule: verbs on resources of one API group.
type Rule = Value;

/// Verbs of a kind that is followed by a watch.
const FOLLOW: [&str; 2] = ["list", "watch"];
/// Verbs of a child: it is followed, looked for once more before its creation (get), and written by server-side
/// apply, which is a patch, and a creation where there was nothing.
const CHILD: [&str; 5] = ["get", "list", "watch", "create", "patch"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The controller's rights in a namespace whose groups it looks after.
pub fn controller() -> Vec<Rule> {
    let groups = names::PLURAL;
    let mut rules = vec![
        rule(names::GROUP, &[groups], &FOLLOW),
        rule(names::GROUP, &[&format!("{groups}/status")], &["patch"]),
        // Children block their owner's deletion: setting that needs the right to its finalizers.
        rule(names::GROUP, &[&format!("{groups}/finalizers")], &["update"]),
    ];
    rules.extend(ChildKind::ALL.map(|kind| rule(kind.group(), &[kind.plural()], &CHILD)));
    rules.extend([
        // A fresh Deployment is scaled to minReplicas once.
        rule("apps", &["deployments/scale"], &["patch"]),
        // A group that turns its alerts off loses its rules.
        rule(ChildKind::PrometheusRule.group(), &[ChildKind::PrometheusRule.plural()], &["delete"]),
        rule("", &["pods"], &FOLLOW),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]);
    rules.extend(topics());
    rules
}

/// The right of both processes in a namespace of KafkaTopics, and the webhook's only one.
pub fn topics() -> Vec<Rule> {
    vec![rule(topic::GROUP, &[topic::PLURAL], &FOLLOW)]
}

/// For the overlay that looks after all namespaces.
pub fn cluster() -> Vec<Value> {
    both("ClusterRole")
}

/// For one namespace that the namespaced overlay names; which one, kustomize fills in.
pub fn namespace() -> Vec<Value> {
    both("Role")
}

/// Each process's role and its binding.
fn both(kind: &str) -> Vec<Value> {
    [(names::CONTROLLER, controller()), (names::WEBHOOK, topics())]
        .into_iter()
        .flat_map(|(account, rules)| [role(kind, account, &rules), binding(kind, account, account)])
        .collect()
}

/// For one namespace that holds KafkaTopics of groups elsewhere; which one, kustomize fills in.
pub fn topic_namespace() -> Vec<Value> {
    let name = format!("{}-topics", names::OPERATOR);
    let mut both = binding("Role", &name, names::CONTROLLER);
    both["subjects"] = json!([subject(names::CONTROLLER), subject(names::WEBHOOK)]);
    vec![role("Role", &name, &topics()), both]
}

/// In the operator's own namespace: the Lease that the controller's replicas compete for. A creation cannot be
/// limited to a name, all else is.
pub fn lease() -> Vec<Value> {
    let name = format!("{}-lease", names::CONTROLLER);
    let group = "coordination.k8s.io";
    let mut ours = rule(group, &["leases"], &["get", "update"]);
    ours["resourceNames"] = json!([names::LEASE]);
    let rules = vec![rule(group, &["leases"], &["create"]), ours];
    [role("Role", &name, &rules), binding("Role", &name, names::CONTROLLER)]
        .map(|object| in_own_namespace(&object))
        .into()
}

/// The name of the rights that the controller has besides where it keeps the webhook's certificate itself. Before the
/// colon stands the installation, since those of the cluster's scope have to be told apart.
fn keeper() -> String {
    format!("{}:certificates", names::NAMESPACE)
}

/// For the component `self-managed`: the one Secret, which is there already, and both registrations of this
/// installation, each by its name; a patch of the registrations is limited to what is there, so nothing is created.
pub fn certificates() -> Vec<Value> {
    let mut secret = rule("", &["secrets"], &["get", "update"]);
    secret["resourceNames"] = json!([names::CERTIFICATE_SECRET]);
    let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    let mut registrations = rule("admissionregistration.k8s.io", &kinds, &["get", "patch"]);
    registrations["resourceNames"] = json!([names::OPERATOR]);
    let events = rule("events.k8s.io", &["events"], &["create", "patch"]);
    let own = format!("{}-certificates", names::CONTROLLER);
    let in_namespace = [role("Role", &own, &[secret, events]), binding("Role", &own, names::CONTROLLER)]
        .map(|object| in_own_namespace(&object));
    let everywhere = [
        role("ClusterRole", &keeper(), &[registrations]),
        binding("ClusterRole", &keeper(), names::CONTROLLER),
    ];
    in_namespace.into_iter().chain(everywhere).collect()
}

fn in_own_namespace(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(names::NAMESPACE);
    object
}

/// What the cluster's own roles view, edit and admin learn about groups. To write a group equals to create a
/// Deployment, which edit and admin may do already.
pub fn people() -> Vec<Value> {
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

fn role(kind: &str, name: &str, rules: &[Rule]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": rules,
    })
}

/// Binds the role of a name to a ServiceAccount of the operator.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(rules: &[Rule]) -> Vec<(String, String, String)> {
        let mut all = Vec::new();
        for rule in rules {
            let list = |key: &str| {
                rule[key].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned())
            };
            for group in list("apiGroups") {
                for resource in list("resources") {
                    all.extend(list("verbs").map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        all
    }

    #[test]
    fn no_right_is_a_wildcard_or_reaches_secrets_roles_nodes_or_the_creation_of_pods() {
        for (group, resource, verb) in granted(&controller()) {
            assert!(group != "*" && resource != "*" && verb != "*", "{group} {resource} {verb}");
            assert!(!["escalate", "bind", "impersonate"].contains(&verb.as_str()), "{verb}");
            assert!(!["secrets", "nodes", "configmaps"].contains(&resource.as_str()), "{resource}");
            assert!(!group.starts_with("rbac.") && !group.starts_with("admissionregistration."), "{group}");
            assert!(resource != "pods" || FOLLOW.contains(&verb.as_str()), "pods {verb}");
        }
    }

    #[test]
    fn what_the_controller_keeps_certificates_with_is_limited_to_objects_by_name() {
        for object in certificates() {
            for rule in object["rules"].as_array().into_iter().flatten() {
                let named = rule["resourceNames"].as_array().is_some_and(|names| names.len() == 1);
                assert!(named || rule["resources"] == json!(["events"]), "{rule}");
                for verb in rule["verbs"].as_array().unwrap() {
                    assert!(["get", "update", "patch", "create"].contains(&verb.as_str().unwrap()), "{rule}");
                }
            }
        }
    }

    #[test]
    fn each_right_is_granted_once() {
        let mut all = granted(&controller());
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_webhook_may_read_kafkatopics_and_nothing_else() {
        let expected = FOLLOW.map(|verb| ("kafka.strimzi.io".into(), "kafkatopics".into(), verb.into()));
        assert_eq!(granted(&topics()), expected);
    }
}
