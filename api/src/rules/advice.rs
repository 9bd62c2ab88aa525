//! What is allowed and is most often a mistake: a warning, not a violation.

use crate::consumer_group;
use crate::preset::Preset;
use crate::rule_input::RuleInput;

/// Micrometer looks for new metrics once a minute.
const MICROMETER_SECONDS: i32 = 60;

/// The warnings of a spec.
pub fn advice(input: &RuleInput<'_>) -> Vec<String> {
    let rules = [window_is_longer_than_micrometer_s_minute, group_id_is_unique_among_namespaces];
    let mut warnings = second_consumers(input);
    warnings.extend(rules.into_iter().filter_map(|rule| rule(input)));
    warnings.extend(super::endpoint::warnings(input.spec));
    warnings
}

/// A further container that starts as the consumer does: its name is a slip, or comes from a
/// Deployment of before. Each pod then runs two consumers of one metrics port.
fn second_consumers(input: &RuleInput<'_>) -> Vec<String> {
    let (Some(Ok(overlay)), Some(consumer)) = (&input.overlay, input.container_name()) else {
        return Vec::new();
    };
    let containers = overlay.template().spec.iter().flat_map(|pod| &pod.containers);
    let of_image = |image: &str| image == input.spec.consumer_spec.image;
    containers
        .filter(|container| container.name != consumer && container.image.as_deref().is_some_and(of_image))
        // With a command of its own it may be anything.
        .filter(|container| container.command.is_none() && container.args.is_none())
        .map(|container| {
            format!(
                "podTemplate container {:?} has the consumer's image: each pod runs it next to container {consumer:?}",
                container.name
            )
        })
        .collect()
}

/// The lag of a partition that a Spring application has just got is not part of the pod's lag. A
/// consumer must not be removed by what is left.
fn window_is_longer_than_micrometer_s_minute(input: &RuleInput<'_>) -> Option<String> {
    let metrics = &input.spec.metrics;
    let is_micrometer = metrics.preset() == Preset::Spring && metrics.statistic().is_some();
    let rules = input.spec.scaling.behavior.as_ref()?.scale_down.as_ref()?;
    let is_short = rules.stabilization_window_seconds.is_some_and(|window| window < MICROMETER_SECONDS);
    let scales_down = rules.select_policy.as_deref() != Some("Disabled");
    (is_micrometer && is_short && scales_down).then(|| {
        "spec.scaling.behavior.scaleDown.stabilizationWindowSeconds: set 60 or more: Micrometer shows a new lag up to 60 s late"
            .to_owned()
    })
}

/// Groups of several namespaces that consume KafkaTopics of one namespace meet in one Kafka, where
/// the name of a group is not unique.
fn group_id_is_unique_among_namespaces(input: &RuleInput<'_>) -> Option<String> {
    let foreign = input.spec.consumer_spec.topic_namespace.as_deref()?;
    let name = input.name?;
    // Without the grant the group is refused.
    let is_granted = foreign != input.namespace && input.grants.allow(input.namespace, foreign);
    let is_name = consumer_group::group_id(input.spec, name) == Some(name);
    (is_granted && is_name).then(|| {
        "spec.consumerSpec.groupId: is the group's name, which groups of other namespaces may have too: set a unique one"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;

    fn warnings(container: &Value) -> Vec<String> {
        let template = json!({"spec": {"containers": [container]}});
        let spec = json!({"consumerSpec": {"image": "shop/orders:1.4", "podTemplate": template}});
        let spec: KconsumerGroupSpec = serde_json::from_value(spec).unwrap();
        advice(&RuleInput::new(Some("orders"), "default", &spec, &TopicGrants::Own))
    }

    #[test]
    fn a_second_container_of_the_consumers_image_is_told() {
        assert_eq!(
            warnings(&json!({"name": "order", "image": "shop/orders:1.4"})),
            [
                "podTemplate container \"order\" has the consumer's image: each pod runs it next to container \"orders\""
            ]
        );
        for harmless in [
            json!({"name": "orders", "image": "shop/orders:1.4"}),
            json!({"name": "proxy", "image": "shop/proxy:1"}),
            json!({"name": "proxy", "image": "shop/orders:1.4", "args": ["proxy"]}),
        ] {
            assert_eq!(warnings(&harmless), [""; 0], "{harmless}");
        }
    }

    fn warned(spec: &Value) -> Vec<String> {
        let spec: KconsumerGroupSpec = serde_json::from_value(spec.clone()).unwrap();
        let warnings = advice(&RuleInput::new(Some("orders"), "shop", &spec, &TopicGrants::Every));
        assert!(warnings.iter().all(|warning| warning.chars().count() <= 120), "{warnings:?}");
        warnings
    }

    #[test]
    fn a_window_shorter_than_micrometer_s_minute_is_warned_of() {
        let scaling = |down: Value| json!({"behavior": {"scaleDown": down}});
        for (metrics, down, want) in [
            (json!({}), json!({"stabilizationWindowSeconds": 59}), 1),
            (json!({"preset": "Spring"}), json!({"stabilizationWindowSeconds": 0}), 1),
            (json!({}), json!({"stabilizationWindowSeconds": 60}), 0),
            (json!({}), json!({"selectPolicy": "Max"}), 0),
            (json!({}), json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"}), 0),
            (json!({"preset": "JmxExporter"}), json!({"stabilizationWindowSeconds": 0}), 0),
            (json!({"lagMetric": "own"}), json!({"stabilizationWindowSeconds": 0}), 0),
        ] {
            let warned = warned(&json!({"metrics": metrics, "scaling": scaling(down.clone())}));
            assert_eq!(warned.len(), want, "{metrics} {down}: {warned:?}");
        }
        let up = json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}});
        assert_eq!(warned(&json!({"scaling": up})).len(), 0);
    }

    #[test]
    fn a_group_id_that_is_the_name_is_warned_of_if_the_topics_are_of_another_namespace() {
        let own_variable = json!([{"name": "KAFKA_GROUP_ID", "value": "shop-orders"}]);
        for (consumer, want) in [
            (json!({"topicNamespace": "kafka"}), 1),
            // The webhook fills in the name.
            (json!({"topicNamespace": "kafka", "groupId": "orders"}), 1),
            (json!({"topicNamespace": "kafka", "groupId": "shop-orders"}), 0),
            (json!({"topicNamespace": "kafka", "env": own_variable}), 0),
            (json!({"topicNamespace": "shop"}), 0),
            (json!({}), 0),
        ] {
            assert_eq!(warned(&json!({"consumerSpec": consumer})).len(), want, "{consumer}");
        }
    }
}
