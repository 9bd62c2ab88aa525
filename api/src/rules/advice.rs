//! What is allowed and is most often a mistake: a warning, not a violation.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::EnvFromSource;

use crate::consumer_group;
use crate::names;
use crate::preset::Preset;
use crate::readiness::Readiness;
use crate::rule_input::RuleInput;

/// Micrometer looks for new metrics once a minute.
const MICROMETER_SECONDS: i32 = 60;

/// The end of a variable that sets group.instance.id, whatever the framework.
const STATIC_MEMBER: &str = "GROUP_INSTANCE_ID";

/// The warnings of a spec.
pub fn advice(input: &RuleInput<'_>) -> Vec<String> {
    let rules = [
        window_is_longer_than_micrometer_s_minute,
        group_id_is_unique_among_namespaces,
        group_id_comes_before_env_from,
        topics_are_those_of_the_spec,
        probe_asks_as_prometheus_does,
        probe_follows_from_the_preset,
        restarts_are_kubectls,
        members_are_not_static,
    ];
    let mut warnings = second_consumers(input);
    warnings.extend(rules.into_iter().filter_map(|rule| rule(input)));
    warnings.extend(super::probe_ports::warnings(input));
    warnings.extend(super::endpoint::warnings(input.spec));
    warnings
}

/// A further container that starts as the consumer does: its name is a slip, or comes from a
/// Deployment of before. Each pod then runs two consumers of one metrics port.
fn second_consumers(input: &RuleInput<'_>) -> Vec<String> {
    let (Some(pod), Some(consumer)) = (input.overlaid_pod(), input.container_name()) else {
        return Vec::new();
    };
    // An init container runs as long as the pod if it restarts.
    let sidecars =
        pod.init_containers.iter().flatten().filter(|one| is_always(one.restart_policy.as_deref()));
    let of_image = |image: &str| image == input.spec.consumer_spec.image;
    pod.containers
        .iter()
        .chain(sidecars)
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

fn is_always(policy: Option<&str>) -> bool {
    policy == Some("Always")
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

/// The variables of a container come before those of its envFrom, so a group whose id stands in a
/// ConfigMap would join another one, named after the resource. The webhook fills the groupId in, so
/// this is said once.
fn group_id_comes_before_env_from(input: &RuleInput<'_>) -> Option<String> {
    let consumer = &input.spec.consumer_spec;
    let overlaid = input.overlaid_consumer().and_then(|container| container.env_from.as_deref());
    let mut sources = consumer.env_from.iter().chain(overlaid.unwrap_or_default());
    // With its prefix a source can have the variable.
    let can_have = |source: &EnvFromSource| {
        names::ENV_GROUP_ID.starts_with(source.prefix.as_deref().unwrap_or_default())
    };
    let is_filled_in = consumer.group_id.is_none()
        && !consumer_group::has_own_group_id(input.spec, input.name.unwrap_or_default());
    (is_filled_in && sources.any(can_have)).then(|| {
        "spec.consumerSpec.groupId: set it: the operator's KAFKA_GROUP_ID, the group's name, comes before one of envFrom"
            .to_owned()
    })
}

/// The ceiling, the wait for topics and conflicts go by the KafkaTopics that the spec names.
fn topics_are_those_of_the_spec(input: &RuleInput<'_>) -> Option<String> {
    let consumer = &input.spec.consumer_spec;
    let own = consumer_group::own_topics(input.spec, input.name.unwrap_or_default())?;
    let named: BTreeSet<&str> = consumer.topic.iter().chain(&consumer.topics).map(String::as_str).collect();
    let is_same =
        own.value().is_some_and(|own| own.split(',').map(str::trim).collect::<BTreeSet<_>>() == named);
    (!is_same).then(|| {
        "spec.consumerSpec: KAFKA_TOPICS in env: maxReplicas, conditions and alerts still go by topic and topics"
            .to_owned()
    })
}

/// The kubelet's probe asks the port that Prometheus scrapes. With a client certificate Prometheus
/// calls a mesh, whose sidecar answers the kubelet's HTTP.
fn probe_asks_as_prometheus_does(input: &RuleInput<'_>) -> Option<String> {
    let readiness = Readiness::derive(input.spec)?;
    let endpoint = &input.spec.metrics.endpoint;
    let has_certificate = endpoint.tls_config.as_ref().is_some_and(|tls| tls.cert.is_some());
    let is_probed = input.overlaid_consumer().is_some_and(|own| {
        let has_other = own.liveness_probe.is_some() || own.startup_probe.is_some();
        own.readiness_probe.is_some() || (has_other && !readiness.is_requested)
    });
    let applies = endpoint.scheme.as_deref() == Some("https") && !has_certificate && !is_probed;
    applies.then(|| {
        "spec.consumerSpec.readiness: its probe uses HTTP, and the endpoint https: set None and a probe in podTemplate"
            .to_owned()
    })
}

/// A group with a preset has its probe, unless none can be derived from the path of the metrics. The pods
/// then count as ready as soon as they run.
fn probe_follows_from_the_preset(input: &RuleInput<'_>) -> Option<String> {
    let metrics = &input.spec.metrics;
    let has_none = metrics.preset?.readiness_path(metrics.path()).is_none();
    let is_probed = input.overlaid_consumer().is_some_and(|own| {
        [&own.readiness_probe, &own.liveness_probe, &own.startup_probe].iter().any(|probe| probe.is_some())
    });
    (has_none && input.spec.consumer_spec.readiness.is_none() && !is_probed).then(|| {
        "spec.consumerSpec.readiness: no probe follows from metrics.path, which does not end in /prometheus: set a path or None"
            .to_owned()
    })
}

/// A static member does not leave its group when its pod ends, and the next pod has another name.
fn members_are_not_static(input: &RuleInput<'_>) -> Option<String> {
    let consumer = &input.spec.consumer_spec;
    let overlaid = input.overlaid_consumer().and_then(|container| container.env.as_deref());
    let mut variables = consumer.env.iter().chain(overlaid.unwrap_or_default());
    let name = &variables.find(|variable| variable.name.ends_with(STATIC_MEMBER))?.name;
    // A warning has 120 characters.
    let name = if name.len() > STATIC_MEMBER.len() + 6 { STATIC_MEMBER } else { name };
    Some(format!(
        "spec.consumerSpec: {name}: a static member that ends blocks its partitions: see docs/operations.md"
    ))
}

/// `kubectl rollout restart` changes an annotation of the pod template. A group that has it, too, takes
/// the change back.
fn restarts_are_kubectls(input: &RuleInput<'_>) -> Option<String> {
    let template = input.readable_overlay()?.template();
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.contains_key(names::ANNOTATION_RESTARTED_AT).then(|| {
        format!(
            "podTemplate.metadata.annotations: remove {}: it undoes kubectl rollout restart",
            names::ANNOTATION_RESTARTED_AT
        )
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
    fn a_second_container_of_the_consumers_image_is_warned_of() {
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

    #[test]
    fn a_native_sidecar_of_the_consumers_image_is_warned_of() {
        let pod = |policy: Value| {
            let mut sidecar = json!({"name": "order", "image": "shop/orders:1.4"});
            sidecar["restartPolicy"] = policy;
            warned(
                &json!({"consumerSpec": {"image": "shop/orders:1.4", "podTemplate": {"spec": {"initContainers": [sidecar]}}}}),
            )
        };
        assert_eq!(
            pod(json!("Always")),
            [
                "podTemplate container \"order\" has the consumer's image: each pod runs it next to container \"orders\""
            ]
        );
        assert_eq!(pod(Value::Null), [""; 0]);
    }

    #[test]
    fn a_group_id_that_may_be_in_env_from_is_warned_of_until_one_is_set() {
        let source = |prefix: &str| json!([{"prefix": prefix, "configMapRef": {"name": "c"}}]);
        let own = |name: &str| json!([{"name": name, "value": "shop"}]);
        let in_template = json!({"spec": {"containers": [{"name": "orders", "envFrom": source("")}]}});
        let in_sidecar =
            json!({"spec": {"containers": [{"name": "proxy", "image": "i", "envFrom": source("")}]}});
        for (consumer, want) in [
            (json!({"envFrom": source("")}), 1),
            (json!({"envFrom": source("KAFKA_")}), 1),
            (json!({"podTemplate": in_template}), 1),
            (json!({"podTemplate": in_sidecar}), 0),
            (json!({"envFrom": source("DB_")}), 0),
            (json!({"envFrom": source(""), "groupId": "orders"}), 0),
            (json!({"envFrom": source(""), "env": own("KAFKA_GROUP_ID")}), 0),
            (json!({"envFrom": source(""), "env": own("SPRING_KAFKA_CONSUMER_GROUP_ID")}), 0),
            (json!({}), 0),
        ] {
            assert_eq!(warned(&json!({"consumerSpec": consumer})).len(), want, "{consumer}");
        }
    }

    #[test]
    fn topics_of_ones_own_are_told_unless_they_are_those_of_the_spec() {
        let env = |topics: Value| json!({"topics": ["a", "b"], "env": [topics]});
        let own = |value: &str| env(json!({"name": "KAFKA_TOPICS", "value": value}));
        let container = json!({"name": "orders", "env": [{"name": "KAFKA_TOPICS", "value": "c"}]});
        for (consumer, want) in [
            (own("c"), 1),
            (own("a"), 1),
            (own("b, a"), 0),
            (
                env(
                    json!({"name": "KAFKA_TOPICS", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}),
                ),
                1,
            ),
            (json!({"topic": "a", "podTemplate": {"spec": {"containers": [container]}}}), 1),
            (json!({"topic": "a"}), 0),
        ] {
            assert_eq!(warned(&json!({"consumerSpec": consumer})).len(), want, "{consumer}");
        }
    }

    #[test]
    fn a_probe_by_http_of_an_endpoint_by_https_is_warned_of() {
        let https =
            |tls: Value| json!({"preset": "Spring", "endpoint": {"scheme": "https", "tlsConfig": tls}});
        let serves = https(json!({"insecureSkipVerify": true}));
        let in_mesh = https(json!({"cert": {"secret": {"name": "c", "key": "k"}}}));
        let probed = |probe: &str| json!({"spec": {"containers": [{"name": "orders", probe: {"httpGet": {"port": 8085, "scheme": "HTTPS"}}}]}});
        for (metrics, consumer, want) in [
            (&serves, json!({}), 1),
            (&serves, json!({"readiness": "/ready"}), 1),
            (&serves, json!({"readiness": "None"}), 0),
            (&serves, json!({"podTemplate": probed("readinessProbe")}), 0),
            (&serves, json!({"podTemplate": probed("livenessProbe")}), 0),
            (&serves, json!({"readiness": "Preset", "podTemplate": probed("livenessProbe")}), 1),
            (&in_mesh, json!({}), 0),
            (&json!({"preset": "Spring"}), json!({}), 0),
            (&json!({"endpoint": {"scheme": "https"}}), json!({}), 0),
        ] {
            let warned = warned(&json!({"metrics": metrics, "consumerSpec": consumer}));
            assert_eq!(warned.len(), want, "{metrics} {consumer}: {warned:?}");
        }
    }

    #[test]
    fn a_preset_without_a_probe_is_warned_of_until_the_group_states_one() {
        let probed = json!({"spec": {"containers": [{"name": "orders", "livenessProbe": {"exec": {"command": ["a"]}}}]}});
        let spring = |path: &str| json!({"preset": "Spring", "path": path});
        for (metrics, consumer, want) in [
            (spring("/metrics"), json!({}), 1),
            (spring("/manage/prometheus"), json!({}), 0),
            (spring("/metrics"), json!({"readiness": "None"}), 0),
            (spring("/metrics"), json!({"readiness": "/ready"}), 0),
            (spring("/metrics"), json!({"podTemplate": probed}), 0),
            (json!({"preset": "JmxExporter", "path": "/m"}), json!({}), 0),
            // Without a preset there is no probe that could be missed.
            (json!({"path": "/metrics"}), json!({}), 0),
        ] {
            let warned = warned(&json!({"metrics": metrics, "consumerSpec": consumer}));
            assert_eq!(warned.len(), want, "{metrics} {consumer}: {warned:?}");
        }
    }

    #[test]
    fn a_variable_that_makes_a_static_member_is_warned_of() {
        let env = |name: &str| json!({"consumerSpec": {"env": [{"name": name, "value": "$(HOSTNAME)"}]}});
        assert_eq!(warned(&env("KAFKA_GROUP_INSTANCE_ID")).len(), 1);
        assert_eq!(warned(&env("SPRING_KAFKA_CONSUMER_PROPERTIES_GROUP_INSTANCE_ID")).len(), 1);
        assert_eq!(warned(&env("KAFKA_CLIENT_ID")), [""; 0]);
    }

    #[test]
    fn an_annotation_that_kubectl_writes_to_restart_pods_is_warned_of() {
        let template = |name: &str| json!({"consumerSpec": {"podTemplate": {"metadata": {"annotations": {name: "2026-01-01T00:00:00Z"}}}}});
        assert_eq!(warned(&template("kubectl.kubernetes.io/restartedAt")).len(), 1);
        assert_eq!(warned(&template("example.com/restartedAt")), [""; 0]);
    }
}
