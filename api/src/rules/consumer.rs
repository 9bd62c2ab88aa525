//! Rules for spec.consumerSpec.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::EnvVar;

use crate::consumer_group::GROUP_ID_LENGTH;
use crate::image;
use crate::messages;
use crate::names;
use crate::readiness::PRESET;
use crate::rule_input::RuleInput;
use crate::spec_bounds;
use crate::violation::{Rule, Violation};

/// The most items of `topics`.
pub(crate) const MAX_TOPICS: usize = spec_bounds::MAX_ITEMS;
/// The most items of `env`.
pub(crate) const MAX_ENV: usize = spec_bounds::MAX_ENV_ITEMS;
/// The most items of `envFrom`.
pub(crate) const MAX_ENV_FROM: usize = spec_bounds::MAX_ENV_ITEMS;

fn field(name: &str) -> String {
    format!("spec.consumerSpec.{name}")
}

/// Whether a list is within its limit. The items of a longer list are not validated: a response
/// could not list all of their violations.
fn is_short_enough<T>(
    rule: Rule,
    name: &str,
    items: &[T],
    most: usize,
    violations: &mut Vec<Violation>,
) -> bool {
    let count = items.len();
    if count > most {
        violations.push(Violation::too_many(rule, field(name), count, most));
    }
    count <= most
}

/// No consumer can start without a valid image. The rule for stored groups is the schema's grammar;
/// what else a kubelet refuses is one for admission.
pub(crate) fn image_is_a_reference(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let image = &input.spec.consumer_spec.image;
    if image.is_empty() {
        violations.push(Violation::required(Rule::Image, field("image"), ""));
    } else if let Some(problem) = image::problem(image) {
        let rule = if names::IMAGE.matches(image) { Rule::Deployment } else { Rule::Image };
        violations.push(Violation::invalid(rule, field("image"), image.as_str(), problem));
    }
}

pub(crate) fn container_name_is_a_label(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    if let Some(name) =
        input.spec.consumer_spec.container_name.as_deref().filter(|name| !names::DNS_LABEL.matches(name))
    {
        violations.push(Violation::invalid(
            Rule::ContainerName,
            field("containerName"),
            name,
            messages::DNS_LABEL,
        ));
    }
}

/// At least one topic, each a valid name of a KafkaTopic. The list's items are distinct and at most
/// 100.
pub(crate) fn topics_are_named(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let consumer = &input.spec.consumer_spec;
    if consumer.topic.is_none() && consumer.topics.is_empty() {
        violations.push(Violation::required(Rule::Topics, field("topic"), messages::NO_TOPIC));
    }
    if !is_short_enough(Rule::Topics, "topics", &consumer.topics, MAX_TOPICS, violations) {
        return;
    }
    let one = consumer.topic.iter().map(|name| (field("topic"), name));
    let many =
        consumer.topics.iter().enumerate().map(|(index, name)| (field(&format!("topics[{index}]")), name));
    for (path, name) in one.chain(many) {
        if !names::SUBDOMAIN.matches(name) {
            violations.push(Violation::invalid(Rule::Topics, path, name.as_str(), messages::TOPIC));
        }
    }
    let mut seen = HashSet::new();
    for (index, name) in consumer.topics.iter().enumerate() {
        if !seen.insert(name) {
            let path = field(&format!("topics[{index}]"));
            violations.push(Violation::duplicate(Rule::Topics, path, name.as_str()));
        }
    }
}

/// KafkaTopics of another namespace need a grant of the operator's installation.
pub(crate) fn topic_namespace_is_granted(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(namespace) = input.spec.consumer_spec.topic_namespace.as_deref() else {
        return;
    };
    if !names::DNS_LABEL.matches(namespace) {
        violations.push(Violation::invalid(
            Rule::TopicNamespace,
            field("topicNamespace"),
            namespace,
            messages::DNS_LABEL,
        ));
    } else if !input.grants.allow(input.namespace, namespace) {
        let message = format!(
            "KafkaTopics of namespace {namespace} may not be used from namespace {}: to allow it, start the operator with --topic-namespaces={namespace}",
            input.namespace
        );
        violations.push(Violation::forbidden(Rule::TopicNamespace, field("topicNamespace"), message));
    }
}

fn is_printed(rule: Rule, name: &str, value: Option<&str>, length: usize, violations: &mut Vec<Violation>) {
    if let Some(value) = value.filter(|value| value.len() > length || !names::PRINTED.matches(value)) {
        violations.push(Violation::invalid(
            rule,
            field(name),
            value,
            messages::fill(messages::PRINTED, length),
        ));
    }
}

pub(crate) fn group_id_is_printed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    is_printed(
        Rule::GroupId,
        "groupId",
        input.spec.consumer_spec.group_id.as_deref(),
        GROUP_ID_LENGTH,
        violations,
    );
}

pub(crate) fn bootstrap_servers_are_printed(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let servers = input.spec.consumer_spec.bootstrap_servers.as_deref();
    is_printed(Rule::BootstrapServers, "bootstrapServers", servers, names::PRINTED.length, violations);
}

/// A variable that is named twice or has both a value and a valueFrom: the API server would reject
/// the Deployment.
pub(crate) fn env_is_distinct(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let env = &input.spec.consumer_spec.env;
    if !is_short_enough(Rule::Env, "env", env, MAX_ENV, violations) {
        return;
    }
    let mut seen = HashSet::with_capacity(env.len());
    for (index, variable) in env.iter().enumerate() {
        // A spec may have a thousand variables, and hardly any has a violation.
        let path = || field(&format!("env[{index}].name"));
        let name = variable.name.as_str();
        if !names::ENV_NAME.matches(name) {
            violations.push(Violation::invalid(Rule::Env, path(), name, messages::ENV_NAME));
        } else if !seen.insert(name) {
            violations.push(Violation::duplicate(Rule::Env, path(), name));
        }
        if is_set_twice(variable) {
            let path = field(&format!("env[{index}].valueFrom"));
            violations.push(Violation::invalid(Rule::Env, path, "", messages::VALUE_FROM));
        }
    }
}

/// An empty value counts as no value.
fn is_set_twice(variable: &EnvVar) -> bool {
    variable.value_from.is_some() && variable.value.as_deref().is_some_and(|value| !value.is_empty())
}

/// At most as many items as the CRD allows.
pub(crate) fn env_from_is_bounded(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let sources = &input.spec.consumer_spec.env_from;
    is_short_enough(Rule::Env, "envFrom", sources, MAX_ENV_FROM, violations);
}

/// The values of `imagePullPolicy`.
pub(crate) const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(crate) fn pull_policy_is_known(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let policy = input.spec.consumer_spec.image_pull_policy.as_deref();
    if let Some(policy) = policy.filter(|policy| !PULL_POLICIES.contains(policy)) {
        let path = field("imagePullPolicy");
        violations.push(Violation::not_supported(Rule::ImagePullPolicy, path, policy, &PULL_POLICIES));
    }
}

/// The readiness probe has a path.
pub(crate) fn readiness_has_a_path(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    const FIELD: &str = "spec.consumerSpec.readiness";
    let metrics = &input.spec.metrics;
    let Some(readiness) = input.spec.consumer_spec.readiness.as_deref() else { return };
    if !names::READINESS.matches(readiness) {
        violations.push(Violation::invalid(Rule::Readiness, FIELD, readiness, messages::READINESS));
    } else if readiness == PRESET && metrics.preset().readiness_path(metrics.path()).is_none() {
        violations.push(Violation::invalid(Rule::Readiness, FIELD, readiness, messages::READINESS_PATH));
    }
}
