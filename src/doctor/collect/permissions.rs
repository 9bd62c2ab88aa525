//! Checks with SubjectAccessReviews whether the ServiceAccounts have the permissions of the shipped
//! roles.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kcg_api::names;
use kcg_runtime::client::with_deadline;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use super::{Collector, ControllerFlags, found};
use crate::doctor::findings::{Found, Permission};
use crate::rbac::{self, PolicyRule};

impl Collector<'_> {
    pub(super) async fn permissions(&self, flags: &ControllerFlags) -> Vec<Permission> {
        let mut permissions = Vec::new();
        for (process, namespace, rule) in self.rules(flags) {
            for attributes in expand(&namespace, &rule) {
                let what = describe(&attributes);
                permissions.push(Permission {
                    process,
                    what,
                    allowed: self.allowed(process, attributes).await,
                });
            }
        }
        permissions
    }

    /// Every rule with its process and namespace; the empty namespace is the whole cluster.
    fn rules(&self, flags: &ControllerFlags) -> Vec<(&'static str, String, PolicyRule)> {
        let cluster = [String::new()];
        let is_cluster_wide = flags.namespaces.is_empty();
        let namespaces = if is_cluster_wide { &cluster[..] } else { &flags.namespaces };
        let topic_namespaces = if is_cluster_wide { &[][..] } else { &flags.topic_namespaces };
        let mut rules = Vec::new();
        let mut add = |process, namespace: &str, added: Vec<PolicyRule>| {
            rules.extend(added.into_iter().map(|rule| (process, namespace.to_owned(), rule)));
        };
        for namespace in namespaces {
            add("controller", namespace, rbac::controller());
            add("webhook", namespace, rbac::topics());
        }
        for namespace in topic_namespaces {
            add("controller", namespace, rbac::topics());
            add("webhook", namespace, rbac::topics());
        }
        add("controller", self.namespace, rbac::lease());
        if let Some(name) = flags.written_configuration(self.namespace) {
            add("controller", self.namespace, rbac::certificate_secret());
            add("controller", "", rbac::webhook_configurations(&name));
        }
        rules
    }

    async fn allowed(&self, process: &str, attributes: ResourceAttributes) -> Found<bool> {
        let account = if process == "webhook" { names::WEBHOOK } else { names::CONTROLLER };
        let groups = [
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{}", self.namespace),
            "system:authenticated",
        ];
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{}:{account}", self.namespace)),
                groups: Some(groups.map(str::to_owned).into()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let created = api.create(&parameters, &review);
        let review = found(with_deadline("create a SubjectAccessReview", created).await)?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

/// Each verb on each resource of a rule. An empty namespace means the whole cluster.
fn expand(namespace: &str, rule: &PolicyRule) -> Vec<ResourceAttributes> {
    let list = |key: &str| {
        let items = rule[key].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (groups, names) = (list("apiGroups"), list("resourceNames"));
    let mut expanded = Vec::new();
    for resource in list("resources") {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
            None => (resource, None),
        };
        for verb in list("verbs") {
            expanded.push(ResourceAttributes {
                group: groups.first().cloned(),
                resource: Some(resource.clone()),
                subresource: subresource.clone(),
                verb: Some(verb),
                name: names.first().cloned(),
                namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
                ..ResourceAttributes::default()
            });
        }
    }
    expanded
}

/// For example `patch deployments.apps in namespace default`.
fn describe(attributes: &ResourceAttributes) -> String {
    let mut text = format!(
        "{} {}",
        attributes.verb.as_deref().unwrap_or_default(),
        attributes.resource.as_deref().unwrap_or_default()
    );
    if let Some(subresource) = &attributes.subresource {
        text = format!("{text}/{subresource}");
    }
    if let Some(group) = attributes.group.as_ref().filter(|group| !group.is_empty()) {
        text = format!("{text}.{group}");
    }
    if let Some(name) = &attributes.name {
        text = format!("{text} {name}");
    }
    match &attributes.namespace {
        Some(namespace) => format!("{text} in namespace {namespace}"),
        None => text,
    }
}
