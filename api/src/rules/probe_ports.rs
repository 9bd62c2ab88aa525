//! Probes and hooks that name a port. The API server accepts any name, and the kubelet looks it up
//! among the ports of the container: if it is not there, a readiness or startup probe never succeeds.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::template::port_name;
use crate::names;
use crate::rule_input::RuleInput;

/// A warning for each name that no port of the container has.
pub(super) fn warnings(input: &RuleInput<'_>) -> Vec<String> {
    let Some(pod) = input.overlaid_pod() else { return Vec::new() };
    let init = pod.init_containers.iter().flatten();
    // Others have no probes.
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    pod.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| {
            let names = named(container).into_iter();
            names.filter(|(_, port)| !has_port(input, container, port)).map(|(asks, port)| {
                format!(
                    "podTemplate container {:?}: {asks} asks port {port:?}, which it does not declare",
                    container.name
                )
            })
        })
        .collect()
}

fn has_port(input: &RuleInput<'_>, container: &Container, name: &str) -> bool {
    let ports = container.ports.as_deref().unwrap_or_default();
    let is_consumer = input.container_name().is_none_or(|consumer| consumer == container.name);
    let ours = input.spec.metrics.port();
    // A port of the same number and protocol replaces ours, its name included.
    let is_renamed = ports.iter().any(|port| {
        port.container_port == ours
            && port.name.is_some()
            && port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
    });
    (is_consumer && !is_renamed && name == names::METRICS_PORT_NAME)
        || ports.iter().any(|port| port.name.as_deref() == Some(name))
}

/// The probes and hooks of a container that name a port, and the name.
fn named(container: &Container) -> Vec<(&'static str, &str)> {
    let lifecycle = container.lifecycle.as_ref();
    [
        ("startupProbe", of_probe(container.startup_probe.as_ref())),
        ("readinessProbe", of_probe(container.readiness_probe.as_ref())),
        ("livenessProbe", of_probe(container.liveness_probe.as_ref())),
        ("postStart", of_hook(lifecycle.and_then(|hooks| hooks.post_start.as_ref()))),
        ("preStop", of_hook(lifecycle.and_then(|hooks| hooks.pre_stop.as_ref()))),
    ]
    .into_iter()
    .filter_map(|(asks, port)| match port? {
        // A name that cannot be one is a violation.
        IntOrString::String(name) if port_name(name).is_empty() => Some((asks, &**name)),
        _ => None,
    })
    .collect()
}

fn of_probe(probe: Option<&Probe>) -> Option<&IntOrString> {
    let probe = probe?;
    let http = probe.http_get.as_ref().map(|get| &get.port);
    http.or_else(|| probe.tcp_socket.as_ref().map(|socket| &socket.port))
}

fn of_hook(hook: Option<&LifecycleHandler>) -> Option<&IntOrString> {
    hook?.http_get.as_ref().map(|get| &get.port)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;

    fn warned(pod: &Value) -> Vec<String> {
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": pod}}});
        let spec: KconsumerGroupSpec = serde_json::from_value(spec).unwrap();
        warnings(&RuleInput::new(Some("orders"), "shop", &spec, &TopicGrants::Own))
    }

    #[test]
    fn a_port_that_the_container_does_not_declare_is_warned_of() {
        let http = |port: Value| json!({"httpGet": {"path": "/", "port": port}});
        for (container, want) in [
            (json!({"readinessProbe": http(json!("http"))}), 1),
            (
                json!({"livenessProbe": {"tcpSocket": {"port": "http"}}, "startupProbe": http(json!("http"))}),
                2,
            ),
            (json!({"lifecycle": {"preStop": http(json!("http"))}}), 1),
            (
                json!({"readinessProbe": http(json!("http")), "ports": [{"containerPort": 80, "name": "http"}]}),
                0,
            ),
            (json!({"readinessProbe": http(json!(80))}), 0),
            (json!({"readinessProbe": http(json!("metrics"))}), 0),
            (
                json!({"readinessProbe": http(json!("metrics")), "ports": [{"containerPort": 8085, "name": "http"}]}),
                1,
            ),
            (json!({"readinessProbe": http(json!("8080"))}), 0),
        ] {
            let mut consumer = container.clone();
            consumer["name"] = json!("orders");
            assert_eq!(warned(&json!({"containers": [consumer]})).len(), want, "{container}");
        }
        let sidecar = json!({"name": "proxy", "image": "i", "readinessProbe": http(json!("metrics"))});
        let words = "podTemplate container \"proxy\": readinessProbe asks port \"metrics\", which it does not declare";
        assert_eq!(warned(&json!({"containers": [sidecar]})), [words]);
        let mut init = sidecar;
        assert_eq!(warned(&json!({"initContainers": [init]})), [""; 0]);
        init["restartPolicy"] = json!("Always");
        assert_eq!(warned(&json!({"initContainers": [init]})), [words]);
    }
}
