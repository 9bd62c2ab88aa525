//! The Service: Prometheus discovers the consumers by it. Nothing connects to its address, so a new
//! one has none. An address cannot be removed.

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector};

pub(super) fn build(group: &ValidGroup, has_cluster_ip: bool) -> Value {
    let mut service = head(ChildKind::Service, group);
    service["spec"] = json!({
        "type": "ClusterIP",
        "selector": selector(&group.name),
        "ports": [{
            "name": names::METRICS_PORT_NAME,
            "port": group.metrics.port,
            "targetPort": group.metrics.port,
            "protocol": "TCP",
        }],
    });
    if !has_cluster_ip {
        service["spec"]["clusterIP"] = json!("None");
    }
    service
}
