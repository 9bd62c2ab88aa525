//! The Service: Prometheus discovers the consumers by it. Nothing connects to its address, so a new
//! one has none. An address cannot be removed.

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector};

pub(super) fn build(group: &ValidGroup, has_cluster_ip: bool) -> Value {
    let metrics = &group.metrics;
    let own = port(names::METRICS_PORT_NAME, metrics.port);
    let additional =
        metrics.additional.iter().map(|endpoint| port(&additional_port(endpoint.port), endpoint.port));
    let mut service = head(ChildKind::Service, group);
    service["spec"] = json!({
        "type": "ClusterIP",
        "selector": selector(&group.name),
        "ports": std::iter::once(own).chain(additional).collect::<Vec<_>>(),
    });
    if !has_cluster_ip {
        service["spec"]["clusterIP"] = json!("None");
    }
    service
}

fn port(name: &str, number: i32) -> Value {
    json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP"})
}

/// The name of an additional endpoint's port. A targetPort that is a number needs no port of a
/// container, so the pods stay as they are if an endpoint is added.
pub(super) fn additional_port(number: i32) -> String {
    format!("{}-{number}", names::METRICS_PORT_NAME)
}
