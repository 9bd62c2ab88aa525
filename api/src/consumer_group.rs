//! The consumer group that a group's pods join in Kafka, as far as the spec tells: a variable in env
//! replaces the operator's, and a variable of Spring Boot comes before it. docs/consumers.md has the
//! table of what other frameworks read.

use serde_json::Value;

use crate::group::KconsumerGroupSpec;
use crate::names;

/// The longest consumer group id, in characters.
pub(crate) const GROUP_ID_LENGTH: usize = 249;

/// Kafka's id of the consumer group. `None` if only the running pod knows it: env takes it from
/// another object or from other variables. `name` is the group's.
pub fn group_id<'a>(spec: &'a KconsumerGroupSpec, name: &'a str) -> Option<&'a str> {
    let stated = || Some(spec.consumer_spec.group_id.as_deref().unwrap_or(name));
    first_set(spec, name, &GROUP_ID_VARIABLES).map_or_else(stated, Variable::value)
}

/// Whether a variable of the spec gives the id of the consumer group.
pub(crate) fn has_own_group_id(spec: &KconsumerGroupSpec, name: &str) -> bool {
    first_set(spec, name, &GROUP_ID_VARIABLES).is_some()
}

/// The topics that a variable of the spec gives the consumers instead of the operator's.
pub(crate) fn own_topics<'a>(spec: &'a KconsumerGroupSpec, name: &str) -> Option<Variable<'a>> {
    first_set(spec, name, &[names::ENV_TOPICS])
}

/// Whether spec.consumerSpec.groupId may have this value.
pub(crate) fn is_group_id(id: &str) -> bool {
    id.len() <= GROUP_ID_LENGTH && names::PRINTED.matches(id)
}

/// Kafka's bootstrap servers; `None` if they are not set, or only the running pod knows them.
/// `name` is the group's.
pub fn bootstrap_servers<'a>(spec: &'a KconsumerGroupSpec, name: &str) -> Option<&'a str> {
    let [of_consumers, of_all] = names::SPRING_BOOTSTRAP_SERVERS;
    let found = first_set(spec, name, &[of_consumers, of_all, names::ENV_BOOTSTRAP_SERVERS]);
    found.map_or_else(|| spec.consumer_spec.bootstrap_servers.as_deref(), Variable::value)
}

const GROUP_ID_VARIABLES: [&str; 2] = [names::SPRING_GROUP_ID, names::ENV_GROUP_ID];

/// A variable of the consumer's container in the spec.
#[derive(Clone, Copy)]
pub(crate) enum Variable<'a> {
    Value(&'a str),
    /// It refers to a Secret, a ConfigMap, a field or another variable.
    Elsewhere,
}

impl<'a> Variable<'a> {
    /// The value; `None` if only the running pod knows it.
    pub(crate) fn value(self) -> Option<&'a str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Elsewhere => None,
        }
    }
}

/// The first of these variables that the spec sets.
fn first_set<'a>(spec: &'a KconsumerGroupSpec, name: &str, wanted: &[&str]) -> Option<Variable<'a>> {
    wanted.iter().find_map(|wanted| variable(spec, name, wanted))
}

/// The last variable of that name: podTemplate is merged over env, and a container takes the last
/// of two.
fn variable<'a>(spec: &'a KconsumerGroupSpec, name: &str, wanted: &str) -> Option<Variable<'a>> {
    let consumer = &spec.consumer_spec;
    let container = consumer.container_name.as_deref().unwrap_or(name);
    if let Some(found) = overlaid(consumer.pod_template.as_ref(), container, wanted) {
        return Some(value(found["value"].as_str(), !found["valueFrom"].is_null()));
    }
    let found = consumer.env.iter().rfind(|variable| variable.name == wanted)?;
    Some(value(found.value.as_deref(), found.value_from.is_some()))
}

fn overlaid<'a>(template: Option<&'a Value>, container: &str, wanted: &str) -> Option<&'a Value> {
    let containers = template?["spec"]["containers"].as_array()?;
    let container = containers.iter().find(|found| found["name"] == container)?;
    container["env"].as_array()?.iter().rfind(|variable| variable["name"] == wanted)
}

fn value(value: Option<&str>, has_source: bool) -> Variable<'_> {
    match value {
        _ if has_source => Variable::Elsewhere,
        Some(value) if value.contains("$(") => Variable::Elsewhere,
        value => Variable::Value(value.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(consumer: &Value) -> KconsumerGroupSpec {
        serde_json::from_value(json!({"consumerSpec": consumer})).unwrap()
    }

    #[test]
    fn a_group_id_in_env_is_the_one_that_counts() {
        let env =
            |variable: Value| json!({"groupId": "stated", "env": [{"name": "A", "value": "b"}, variable]});
        let own = env(json!({"name": "KAFKA_GROUP_ID", "value": "own"}));
        let secret =
            env(json!({"name": "KAFKA_GROUP_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}));
        let composed = env(json!({"name": "KAFKA_GROUP_ID", "value": "$(A)-x"}));
        let in_template = json!({
            "env": [{"name": "KAFKA_GROUP_ID", "value": "own"}],
            "podTemplate": {"spec": {"containers": [
                {"name": "sidecar", "env": [{"name": "KAFKA_GROUP_ID", "value": "sidecar"}]},
                {"name": "g", "env": [{"name": "KAFKA_GROUP_ID", "value": "template"}]},
            ]}},
        });
        let of_spring = json!({"name": "SPRING_KAFKA_CONSUMER_GROUP_ID", "value": "spring"});
        let both = json!([of_spring, {"name": "KAFKA_GROUP_ID", "value": "own"}]);
        for (consumer, want) in [
            (json!({}), Some("g")),
            (json!({"groupId": "stated"}), Some("stated")),
            (env(of_spring), Some("spring")),
            (json!({"env": both}), Some("spring")),
            (own, Some("own")),
            (secret, None),
            (composed, None),
            (in_template, Some("template")),
            (json!({"podTemplate": {"spec": {"containers": 3}}}), Some("g")),
        ] {
            assert_eq!(group_id(&spec(&consumer), "g"), want, "{consumer}");
        }
    }

    #[test]
    fn bootstrap_servers_in_env_are_those_that_count() {
        let variable = json!({"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "b:9092"});
        let of_spring = json!({"name": "SPRING_KAFKA_BOOTSTRAP_SERVERS", "value": "c:9092"});
        for (consumer, want) in [
            (json!({}), None),
            (json!({"bootstrapServers": "a:9092"}), Some("a:9092")),
            (json!({"bootstrapServers": "a:9092", "env": [variable]}), Some("b:9092")),
            (json!({"bootstrapServers": "a:9092", "env": [variable, of_spring]}), Some("c:9092")),
        ] {
            assert_eq!(bootstrap_servers(&spec(&consumer), "g"), want);
        }
    }
}
