//! The Deployment that runs the consumers. It never has spec.replicas, which the autoscaler owns.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use kcg_api::defaults::TERMINATION_GRACE_SECONDS;
use kcg_api::overlay::ContainerMerge;
use kcg_api::valid::TemplateFields;
use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::defaults_version::{self, DefaultsVersion, TemplateOrigin};
use super::{ChildKind, Inherited, head, selector};
use crate::ceiling::Ceiling;

pub(super) fn build(group: &ValidGroup, ceiling: &Ceiling, inherited: &Inherited) -> Value {
    let (live, recorded) = (inherited.template.as_ref(), inherited.recorded_defaults);
    let origin = TemplateOrigin::next(live, recorded, spec_hash(group), group.template_defaults.clone());
    let mut deployment = head(ChildKind::Deployment, group);
    for (name, value) in origin.annotations() {
        deployment["metadata"]["annotations"][name] = json!(value);
    }
    let strategy = group.scaling.strategy.as_ref().map_or_else(consumer_strategy, |strategy| json!(strategy));
    deployment["spec"] = json!({
        "selector": {"matchLabels": selector(&group.name)},
        "strategy": strategy,
        "minReadySeconds": group.scaling.min_ready_seconds,
        "template": template(group, &group.template, ceiling.topic_names().into_iter(), origin.version),
    });
    deployment
}

/// The hash of the template that the spec alone describes, without the names of the topics in Kafka
/// and the installation's defaults.
pub(crate) fn spec_hash(group: &ValidGroup) -> u32 {
    let topics = group.consumer.topics.iter().map(|topic| topic.name.as_str());
    defaults_version::hash(&template(group, &group.own_template, topics, DefaultsVersion::V1))
}

/// In two halves, because each batch causes one or two rebalances. The new half starts before the
/// old one stops and waits idle, so each partition moves once, from a consumer that stops to one
/// that is ready (docs/closed-loop.md has the numbers), and there are never too few consumers.
fn consumer_strategy() -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}})
}

/// The pod template with the defaults of a version.
fn template<'a>(
    group: &ValidGroup,
    fields: &TemplateFields,
    topics: impl Iterator<Item = &'a str>,
    version: DefaultsVersion,
) -> Value {
    let mut pod = json!({
        "containers": [container(group, fields, topics, version)],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
    });
    if !fields.image_pull_secrets.is_empty() {
        pod["imagePullSecrets"] = json!(fields.image_pull_secrets);
    }
    if version >= DefaultsVersion::V2 {
        // A variable for each Service of the namespace: none of them is for a consumer.
        pod["enableServiceLinks"] = json!(false);
        if !names_a_service_account(group) {
            pod["automountServiceAccountToken"] = json!(false);
        }
    }
    overlaid(json!({"metadata": {"labels": selector(&group.name)}, "spec": pod}), group, version)
}

fn names_a_service_account(group: &ValidGroup) -> bool {
    let pod = group.consumer.overlay.as_ref().and_then(|overlay| overlay.template().spec.as_ref());
    pod.is_some_and(|pod| pod.service_account_name.is_some() || pod.service_account.is_some())
}

fn container<'a>(
    group: &ValidGroup,
    fields: &TemplateFields,
    topics: impl Iterator<Item = &'a str>,
    version: DefaultsVersion,
) -> Value {
    let consumer = &group.consumer;
    let mut container = json!({
        "name": consumer.container_name,
        "image": consumer.image,
        "imagePullPolicy": image_pull_policy(group, version),
        "ports": [{"name": names::METRICS_PORT_NAME, "containerPort": fields.port, "protocol": "TCP"}],
        "env": env(group, topics),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    if !consumer.env_from.is_empty() {
        container["envFrom"] = json!(consumer.env_from);
    }
    if let Some(resources) = &consumer.resources {
        container["resources"] = json!(resources);
    }
    if let Some(path) = readiness_path(group, fields, version) {
        let get = json!({"path": path, "port": fields.port, "scheme": "HTTP"});
        container["readinessProbe"] = json!({"httpGet": get, "periodSeconds": 5, "timeoutSeconds": 5});
    }
    container
}

/// The path of the readiness probe, unless the overlay has a probe. A probe that is not requested
/// needs the newest defaults and stays away if there is any probe of the user's.
fn readiness_path<'a>(
    group: &ValidGroup,
    fields: &'a TemplateFields,
    version: DefaultsVersion,
) -> Option<&'a str> {
    let readiness = fields.readiness.as_ref()?;
    let own = overlaid_container(group);
    let has_readiness = own.is_some_and(|own| own.readiness_probe.is_some());
    let has_other = own.is_some_and(|own| own.liveness_probe.is_some() || own.startup_probe.is_some());
    let applies = readiness.is_requested || (version >= DefaultsVersion::V3 && !has_other);
    (applies && !has_readiness).then_some(&readiness.path)
}

/// The overlay of the consumer's container.
fn overlaid_container(group: &ValidGroup) -> Option<&Container> {
    let pod = group.consumer.overlay.as_ref()?.template().spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == group.consumer.container_name)
}

/// Written out, because the API server fills it in only once: it would not follow the image's tag.
fn image_pull_policy(group: &ValidGroup, version: DefaultsVersion) -> &str {
    match &group.consumer.image_pull_policy {
        Some(policy) => policy,
        None if version == DefaultsVersion::V1 || has_moving_tag(image(group)) => "Always",
        None => "IfNotPresent",
    }
}

/// The consumer's image, which the overlay may replace.
fn image(group: &ValidGroup) -> &str {
    let overlaid = overlaid_container(group).and_then(|container| container.image.as_deref());
    overlaid.unwrap_or(&group.consumer.image)
}

/// Whether Kubernetes pulls the image each time: its tag is `latest`, or it has neither a tag nor a
/// digest.
fn has_moving_tag(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let repository = name.rsplit('/').next().unwrap_or(name);
    repository.split_once(':').map_or(digest.is_none(), |(_, tag)| tag == "latest")
}

/// The environment variables; one that the user sets replaces the operator's.
fn env<'a>(group: &ValidGroup, topics: impl Iterator<Item = &'a str>) -> Vec<Value> {
    let consumer = &group.consumer;
    let topics = topics.collect::<Vec<_>>().join(",");
    let defaults = [
        (names::ENV_TOPICS, Some(topics.as_str())),
        (names::ENV_GROUP_ID, Some(consumer.group_id.as_str())),
        (names::ENV_BOOTSTRAP_SERVERS, consumer.bootstrap_servers.as_deref()),
    ];
    let is_set = |name: &str| consumer.env.iter().any(|variable| variable.name == name);
    let ours = defaults.into_iter().filter(|(name, _)| !is_set(name));
    ours.filter_map(|(name, value)| Some(json!({"name": name, "value": value?})))
        .chain(consumer.env.iter().map(|variable| json!(variable)))
        .collect()
}

/// The template with the user's podTemplate merged into it.
fn overlaid(template: Value, group: &ValidGroup, version: DefaultsVersion) -> Value {
    let Some(overlay) = &group.consumer.overlay else {
        return template;
    };
    let merge = if version >= DefaultsVersion::V2 { ContainerMerge::InPlace } else { ContainerMerge::Append };
    let mut typed =
        overlay.apply_to(template, merge).expect("invariant: the operator's template is a PodTemplateSpec");
    own_both_names_of_the_service_account(&mut typed);
    serde_json::to_value(typed).expect("invariant: a PodTemplateSpec serializes")
}

/// The API server also stores a ServiceAccount's name in its deprecated field, and restores the new
/// field from there. Only a manager that owns both fields can remove the name.
fn own_both_names_of_the_service_account(template: &mut PodTemplateSpec) {
    if let Some(pod) = &mut template.spec {
        let name = pod.service_account_name.clone().or_else(|| pod.service_account.clone());
        pod.service_account_name.clone_from(&name);
        pod.service_account = name;
    }
}
