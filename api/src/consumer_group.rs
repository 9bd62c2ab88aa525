//! The consumer group that a group's pods join in Kafka, as far as the spec tells: a variable in env
//! replaces the operator's.

use serde_json::Value;

use crate::group::KconsumerGroupSpec;
use crate::names;
use crate::rules::consumer::GROUP_ID_LENGTH;

/// Kafka's id of the consumer group. `None` if only the running pod knows it: env takes it from
/// another object or from other variables. `name` is the group's.
pub fn group_id<'a>(spec: &'a KconsumerGroupSpec, name: &'a str) -> Option<&'a str> {
    match variable(spec, name, names::ENV_GROUP_ID) {
        Variable::Value(value) => Some(value),
        Variable::Elsewhere => None,
        Variable::Absent => Some(spec.consumer_spec.group_id.as_deref().unwrap_or(name)),
    }
}

/// Whether spec.consumerSpec.groupId may have this value.
pub(crate) fn is_group_id(id: &str) -> bool {
    id.len() <= GROUP_ID_LENGTH && names::PRINTED.matches(id)
}

/// Kafka's bootstrap servers; `None` if they are not set, or only the running pod knows them.
/// `name` is the group's.
pub fn bootstrap_servers<'a>(spec: &'a KconsumerGroupSpec, name: &str) -> Option<&'a str> {
    match variable(spec, name, names::ENV_BOOTSTRAP_SERVERS) {
        Variable::Value(value) => Some(value),
        Variable::Elsewhere => None,
        Variable::Absent => spec.consumer_spec.bootstrap_servers.as_deref(),
    }
}

/// A variable of the consumer's container in the spec.
enum Variable<'a> {
    Value(&'a str),
    /// It refers to a Secret, a ConfigMap, a field or another variable.
    Elsewhere,
    Absent,
}

/// The last variable of that name: podTemplate is merged over env, and a container takes the last
/// of two.
fn variable<'a>(spec: &'a KconsumerGroupSpec, name: &str, wanted: &str) -> Variable<'a> {
    let consumer = &spec.consumer_spec;
    let container = consumer.container_name.as_deref().unwrap_or(name);
    if let Some(found) = overlaid(consumer.pod_template.as_ref(), container, wanted) {
        return value(found["value"].as_str(), !found["valueFrom"].is_null());
    }
    match consumer.env.iter().rfind(|variable| variable.name == wanted) {
        Some(found) => value(found.value.as_deref(), found.value_from.is_some()),
        None => Variable::Absent,
    }
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
        for (consumer, want) in [
            (json!({}), Some("g")),
            (json!({"groupId": "stated"}), Some("stated")),
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
        for (consumer, want) in [
            (json!({}), None),
            (json!({"bootstrapServers": "a:9092"}), Some("a:9092")),
            (json!({"bootstrapServers": "a:9092", "env": [variable]}), Some("b:9092")),
        ] {
            assert_eq!(bootstrap_servers(&spec(&consumer), "g"), want);
        }
    }
}
