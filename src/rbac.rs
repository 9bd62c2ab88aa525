//! The RBAC rules of the controller and the webhook. `doctor` checks that they are granted, and the
//! manifests in deploy/ are rendered from them.

use kcg_api::{names, topic};
use serde_json::{Value, json};

use kcg_core::children::ChildKind;

/// A PolicyRule as JSON: verbs on resources of one API group.
pub type PolicyRule = Value;

/// The verbs of a watch.
const WATCH: [&str; 2] = ["list", "watch"];
/// The verbs of an owned kind: it is watched, created, changed by server-side apply, which needs
/// `patch`, and read if an object of the name exists already or an apply is rejected.
const OWNED: [&str; 5] = ["get", "list", "watch", "create", "patch"];

/// A rule for all objects of the resources.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// A rule for the objects of these names of each of the resources.
fn named_rule(group: &str, resources: &[&str], names: &[&str], verbs: &[&str]) -> PolicyRule {
    let mut rule = rule(group, resources, verbs);
    rule["resourceNames"] = json!(names);
    rule
}

/// The controller's rules in a namespace that it watches for groups.
pub fn controller() -> Vec<PolicyRule> {
    let groups = names::PLURAL;
    let mut rules = vec![
        rule(names::GROUP, &[groups], &WATCH),
        rule(names::GROUP, &[&format!("{groups}/status")], &["patch"]),
        // The owner references block the owner's deletion; setting that needs `update` on the
        // owner's finalizers.
        rule(names::GROUP, &[&format!("{groups}/finalizers")], &["update"]),
    ];
    rules.extend(ChildKind::ALL.map(|kind| rule(kind.group(), &[kind.plural()], &OWNED)));
    rules.extend([
        // If a group turns its alerts off, its PrometheusRule is deleted.
        rule(ChildKind::PrometheusRule.group(), &[ChildKind::PrometheusRule.plural()], &["delete"]),
        rule("", &["pods"], &WATCH),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]);
    rules.extend(topics());
    rules
}

/// The rules of both processes in a namespace with KafkaTopics. The webhook has no others.
pub fn topics() -> Vec<PolicyRule> {
    vec![rule(topic::GROUP, &[topic::PLURAL], &WATCH)]
}

/// The controller's rules for the leader election Lease of this name, in the Lease's namespace. RBAC
/// cannot limit `create` to a name; the other verbs are limited.
pub fn lease(name: &str) -> Vec<PolicyRule> {
    let (group, leases) = ("coordination.k8s.io", ["leases"]);
    vec![rule(group, &leases, &["create"]), named_rule(group, &leases, &[name], &["get", "update"])]
}

/// The controller's further rules in the operator's namespace if it issues the webhook's
/// certificate: the Secrets of the certificate and of its CA, which the manifests create, and events.
pub fn certificate_secrets() -> Vec<PolicyRule> {
    vec![
        named_rule("", &["secrets"], &[names::CERTIFICATE_SECRET, names::CA_SECRET], &["get", "update"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// The controller's cluster-scoped rules if it issues the webhook's certificate: it writes caBundle
/// into both webhook configurations of the installation. `patch` creates nothing.
pub fn webhook_configurations(name: &str) -> Vec<PolicyRule> {
    let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    vec![named_rule("admissionregistration.k8s.io", &kinds, &[name], &["get", "patch"])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(rules: &[PolicyRule]) -> Vec<(String, String, String)> {
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
    fn the_controller_has_no_wildcard_and_cannot_reach_secrets_roles_or_nodes_or_create_pods() {
        for (group, resource, verb) in granted(&controller()) {
            assert!(group != "*" && resource != "*" && verb != "*", "{group} {resource} {verb}");
            assert!(!["escalate", "bind", "impersonate"].contains(&verb.as_str()), "{verb}");
            assert!(!["secrets", "nodes", "configmaps"].contains(&resource.as_str()), "{resource}");
            assert!(!group.starts_with("rbac.") && !group.starts_with("admissionregistration."), "{group}");
            assert!(resource != "pods" || WATCH.contains(&verb.as_str()), "pods {verb}");
        }
    }

    #[test]
    fn the_rules_for_issuing_certificates_are_limited_to_objects_by_name() {
        for rule in certificate_secrets().into_iter().chain(webhook_configurations(names::OPERATOR)) {
            let named = rule["resourceNames"].as_array().is_some_and(|names| !names.is_empty());
            assert!(named || rule["resources"] == json!(["events"]), "{rule}");
            for verb in rule["verbs"].as_array().unwrap() {
                assert!(["get", "update", "patch", "create"].contains(&verb.as_str().unwrap()), "{rule}");
            }
        }
    }

    #[test]
    fn each_rule_is_granted_once() {
        let mut all = granted(&controller());
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_webhook_may_watch_kafkatopics_and_nothing_else() {
        let expected = WATCH.map(|verb| ("kafka.strimzi.io".into(), "kafkatopics".into(), verb.into()));
        assert_eq!(granted(&topics()), expected);
    }
}
