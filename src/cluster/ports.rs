//! A port's number is its key in a list that the API server merges. If another manager changed it,
//! an apply would add a second port of the same name and be rejected, so the number is reset first.
//! Pure.

use kcg_runtime::client::RequestError;
use serde_json::{Value, json};

/// Whether an apply was rejected because it would add a second port of the same name.
pub(super) fn is_duplicate(error: &RequestError) -> bool {
    let causes =
        error.status().and_then(|status| status.details.as_ref()).map_or(&[][..], |details| &details.causes);
    let is_port = |field: &str| field.contains("ports[") || field.ends_with("ports");
    error.code() == Some(422)
        && causes.iter().any(|cause| cause.reason == "FieldValueDuplicate" && is_port(&cause.field))
}

/// The patch that resets number and protocol of each of our ports, which are found by name. It
/// applies only if they did not change in the meantime.
pub(super) fn reset_patch(desired: &Value, live: &Value) -> json_patch::Patch {
    const CONTAINERS: &str = "/spec/template/spec/containers";
    let mut operations = reset_operations(&desired["spec"]["ports"], live, "/spec/ports", "port");
    let containers =
        |object: &'_ Value| object.pointer(CONTAINERS).and_then(Value::as_array).cloned().unwrap_or_default();
    for ours in containers(desired) {
        if let Some(index) = containers(live).iter().position(|theirs| theirs["name"] == ours["name"]) {
            let path = format!("{CONTAINERS}/{index}/ports");
            operations.extend(reset_operations(&ours["ports"], live, &path, "containerPort"));
        }
    }
    serde_json::from_value(Value::Array(operations)).expect("invariant: these are JSON patch operations")
}

fn reset_operations(wanted: &Value, live: &Value, path: &str, number: &str) -> Vec<Value> {
    let mut operations = Vec::new();
    let there = live.pointer(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for port in wanted.as_array().into_iter().flatten() {
        let Some(index) = there.iter().position(|other| other["name"] == port["name"]) else {
            continue;
        };
        for field in [number, "protocol"] {
            if there[index][field] != port[field] {
                let path = format!("{path}/{index}/{field}");
                operations.push(json!({"op": "test", "path": path, "value": there[index][field]}));
                operations.push(json!({"op": "replace", "path": path, "value": port[field]}));
            }
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::super::write_error::tests::rejection;
    use super::*;

    #[test]
    fn only_a_duplicate_port_is_reset() {
        let cause = |field: &str, reason: &str| {
            rejection(422, &json!({"causes": [{"field": field, "reason": reason}]}))
        };
        assert!(is_duplicate(&cause("spec.ports[1].name", "FieldValueDuplicate")));
        assert!(is_duplicate(&cause(
            "spec.template.spec.containers[0].ports[1].name",
            "FieldValueDuplicate"
        )));
        assert!(!is_duplicate(&cause("spec.ports[1].name", "FieldValueInvalid")));
        assert!(!is_duplicate(&cause("spec.template.spec.volumes[1].name", "FieldValueDuplicate")));
    }

    #[test]
    fn drifted_port_numbers_are_reset_in_place() {
        let service =
            |port: i32| json!({"spec": {"ports": [{"name": "metrics", "port": port, "protocol": "TCP"}]}});
        let patch = reset_patch(&service(8085), &service(9999));
        let written = json!([
            {"op": "test", "path": "/spec/ports/0/port", "value": 9999},
            {"op": "replace", "path": "/spec/ports/0/port", "value": 8085},
        ]);
        assert_eq!(serde_json::to_value(patch).unwrap(), written);
        let udp = json!({"spec": {"ports": [{"name": "metrics", "port": 8085, "protocol": "UDP"}]}});
        let patch = serde_json::to_value(reset_patch(&service(8085), &udp)).unwrap();
        assert_eq!(patch[1], json!({"op": "replace", "path": "/spec/ports/0/protocol", "value": "TCP"}));
        let deployment =
            |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let ours = deployment(json!([{"name": "k", "ports": [{"name": "metrics", "containerPort": 8085}]}]));
        let live = deployment(json!([
            {"name": "sidecar", "ports": [{"name": "metrics", "containerPort": 1}]},
            {"name": "k", "ports": [{"name": "other", "containerPort": 2}, {"name": "metrics", "containerPort": 3}]},
        ]));
        let patch = serde_json::to_value(reset_patch(&ours, &live)).unwrap();
        assert_eq!(
            patch[1],
            json!({"op": "replace", "path": "/spec/template/spec/containers/1/ports/1/containerPort", "value": 8085})
        );
        assert_eq!(patch.as_array().map(Vec::len), Some(2));
    }
}
