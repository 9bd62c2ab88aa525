//! Checks with SubjectAccessReviews whether the ServiceAccounts have the permissions of the shipped
//! roles.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kcg_api::names;
use kcg_runtime::client::with_deadline;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use super::flags::Flags;
use super::process::OperatorProcess;
use super::{Collector, found};
use crate::doctor::findings::{Found, Permission};
use crate::rbac::{self, PolicyRule};

/// A rule, and the namespace in which a process needs it; empty: the whole cluster.
type NeededRule = (String, PolicyRule);

impl Collector<'_> {
    pub(super) async fn permissions(
        &self,
        controller: &Found<OperatorProcess>,
        webhook: &Found<OperatorProcess>,
    ) -> Vec<Permission> {
        let mut permissions = Vec::new();
        for (process, found) in [("controller", controller), ("webhook", webhook)] {
            let rules = match found {
                Ok(found) if process == "webhook" => webhook_rules(&found.flags),
                Ok(found) => controller_rules(&found.flags, self.namespace),
                Err(why) => {
                    let allowed = Err(why.clone());
                    permissions.push(Permission { process, what: String::new(), allowed });
                    continue;
                }
            };
            for (namespace, rule) in rules {
                for attributes in expand(&namespace, &rule) {
                    let what = describe(&attributes);
                    let allowed = self.allowed(process, attributes).await;
                    permissions.push(Permission { process, what, allowed });
                }
            }
        }
        permissions
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

fn controller_rules(flags: &Flags, own_namespace: &str) -> Vec<NeededRule> {
    let mut rules = in_each(&watched(flags), &rbac::controller());
    rules.extend(in_each(&granted(flags), &rbac::topics()));
    if flags.elects_a_leader() {
        let (namespace, name) = flags.lease();
        rules.extend(in_each(&[namespace.to_owned()], &rbac::lease(name)));
    }
    if let Some(name) = flags.written_configuration() {
        rules.extend(in_each(&[own_namespace.to_owned()], &rbac::certificate_secrets()));
        rules.extend(in_each(&[String::new()], &rbac::webhook_configurations(&name)));
    }
    rules
}

fn webhook_rules(flags: &Flags) -> Vec<NeededRule> {
    in_each(&[watched(flags), granted(flags)].concat(), &rbac::topics())
}

/// The watched namespaces; the empty one is the whole cluster.
fn watched(flags: &Flags) -> Vec<String> {
    let namespaces = flags.namespaces();
    if namespaces.is_empty() { vec![String::new()] } else { namespaces }
}

/// The further namespaces with topics, which a process of the whole cluster does not need.
fn granted(flags: &Flags) -> Vec<String> {
    if flags.namespaces().is_empty() { Vec::new() } else { flags.topic_namespaces() }
}

fn in_each(namespaces: &[String], rules: &[PolicyRule]) -> Vec<NeededRule> {
    let in_one =
        |namespace: &String| rules.iter().map(|rule| (namespace.clone(), rule.clone())).collect::<Vec<_>>();
    namespaces.iter().flat_map(in_one).collect()
}

/// Each verb on each resource of a rule, by each name. An empty namespace means the whole cluster.
fn expand(namespace: &str, rule: &PolicyRule) -> Vec<ResourceAttributes> {
    let list = |key: &str| {
        let items = rule[key].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (groups, mut names) =
        (list("apiGroups"), list("resourceNames").into_iter().map(Some).collect::<Vec<_>>());
    if names.is_empty() {
        names.push(None);
    }
    let mut expanded = Vec::new();
    for resource in list("resources") {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
            None => (resource, None),
        };
        for (verb, name) in
            list("verbs").into_iter().flat_map(|verb| names.iter().map(move |name| (verb.clone(), name)))
        {
            expanded.push(ResourceAttributes {
                group: groups.first().cloned(),
                resource: Some(resource.clone()),
                subresource: subresource.clone(),
                verb: Some(verb),
                name: name.clone(),
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
