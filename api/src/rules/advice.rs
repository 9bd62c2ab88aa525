//! What is allowed and is most often a mistake: a warning, not a violation.

use crate::rule_input::RuleInput;

/// The warnings of a spec.
pub fn advice(input: &RuleInput<'_>) -> Vec<String> {
    second_consumers(input)
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
                "podTemplate container {:?} has the consumer's image: each pod runs it beside container {consumer:?}",
                container.name
            )
        })
        .collect()
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
                "podTemplate container \"order\" has the consumer's image: each pod runs it beside container \"orders\""
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
}
