//! The Deployment that runs the consumers. It never has spec.replicas, which the autoscaler owns.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kcg_api::overlay::ContainerMerge;
use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector};
use crate::ceiling::{Ceiling, TopicCount};

/// Enough time to finish a message, commit and leave the consumer group.
const TERMINATION_GRACE_SECONDS: i64 = 60;

pub(super) fn build(group: &ValidGroup, ceiling: &Ceiling) -> Value {
    let mut deployment = head(ChildKind::Deployment, group);
    let strategy = group.scaling.strategy.as_ref().map_or_else(consumer_strategy, |strategy| json!(strategy));
    deployment["spec"] = json!({
        "selector": {"matchLabels": selector(&group.name)},
        "strategy": strategy,
        "template": overlaid(template(group, ceiling), group),
    });
    deployment
}

/// In two halves, because each batch causes one or two rebalances. The new half starts before the
/// old one stops and waits idle, so each partition moves once, from a consumer that stops to one
/// that is ready (docs/closed-loop.md has the numbers), and there are never too few consumers.
fn consumer_strategy() -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}})
}

fn template(group: &ValidGroup, ceiling: &Ceiling) -> Value {
    let mut pod = json!({
        "containers": [container(group, ceiling)],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
    });
    if !group.consumer.image_pull_secrets.is_empty() {
        pod["imagePullSecrets"] = json!(group.consumer.image_pull_secrets);
    }
    json!({"metadata": {"labels": selector(&group.name)}, "spec": pod})
}

fn container(group: &ValidGroup, ceiling: &Ceiling) -> Value {
    let consumer = &group.consumer;
    let mut container = json!({
        "name": consumer.container_name,
        "image": consumer.image,
        "imagePullPolicy": consumer.image_pull_policy.as_deref().unwrap_or("Always"),
        "ports": [{"name": names::METRICS_PORT_NAME, "containerPort": group.metrics.port, "protocol": "TCP"}],
        "env": env(group, ceiling),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    if !consumer.env_from.is_empty() {
        container["envFrom"] = json!(consumer.env_from);
    }
    if let Some(resources) = &consumer.resources {
        container["resources"] = json!(resources);
    }
    container
}

/// The environment variables; one that the user sets replaces the operator's.
fn env(group: &ValidGroup, ceiling: &Ceiling) -> Vec<Value> {
    let consumer = &group.consumer;
    let topics = ceiling.counts.iter().map(TopicCount::topic_name).collect::<Vec<_>>().join(",");
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
fn overlaid(template: Value, group: &ValidGroup) -> Value {
    let Some(overlay) = &group.consumer.overlay else {
        return template;
    };
    let mut typed = overlay
        .apply_to(template, ContainerMerge::Append)
        .expect("invariant: the operator's template is a PodTemplateSpec");
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
