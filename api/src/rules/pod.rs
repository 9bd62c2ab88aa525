//! Rules for spec.consumerSpec.podTemplate. The right to create a group includes the right to
//! create a Deployment, but no access to the node: these rules reject every field that grants it.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

use crate::names;
pub(crate) use crate::overlay::PATH as OVERLAY;
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// The overlay is a PodTemplateSpec, grants no access to the node and keeps the selector's labels.
pub(crate) fn overlay_is_a_pod_template(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(template) = &input.spec.consumer_spec.pod_template else {
        return;
    };
    violations.extend(input.overlay.iter().flat_map(|parsed| parsed.errors.iter().cloned()));
    let Some(overlay) = input.readable_overlay() else { return };
    selector_labels_are_kept(input, template, violations);
    if let Some(pod) = &overlay.template().spec {
        pod_has_no_node_access(pod, violations);
        each_container(pod, violations);
    }
}

/// The Deployment's selector contains these two labels, and a selector is immutable.
fn selector_labels_are_kept(input: &RuleInput<'_>, template: &Value, violations: &mut Vec<Violation>) {
    let labels = template.pointer("/metadata/labels");
    for label in [names::LABEL_APP, names::LABEL_GROUP] {
        // Null would remove the label.
        let written = labels.and_then(|labels| labels.get(label));
        if written.is_some_and(|written| written.as_str().is_none_or(|written| Some(written) != input.name)) {
            let field = format!("{OVERLAY}.metadata.labels[{label}]");
            violations.push(Violation::forbidden(
                Rule::PodTemplate,
                field,
                "the operator selects the group's pods by this label",
            ));
        }
    }
}

/// The capabilities that the level `baseline` of the Pod Security Standards allows to add.
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn may_add() -> String {
    format!("a consumer may only add {}", BASELINE_CAPABILITIES.join(", "))
}

fn pod_has_no_node_access(pod: &PodSpec, violations: &mut Vec<Violation>) {
    let mut refuse_if = |requested: bool, field: &str, message: &str| {
        if requested {
            violations.push(Violation::forbidden(
                Rule::Privilege,
                format!("{OVERLAY}.spec.{field}"),
                message,
            ));
        }
    };
    refuse_if(pod.host_network == Some(true), "hostNetwork", "a consumer may not use its node's network");
    refuse_if(pod.host_pid == Some(true), "hostPID", "a consumer may not see its node's processes");
    refuse_if(pod.host_ipc == Some(true), "hostIPC", "a consumer may not use its node's IPC namespace");
    refuse_if(
        pod.node_name.is_some(),
        "nodeName",
        "the scheduler places consumers: use nodeSelector or affinity",
    );
    refuse_if(
        pod.ephemeral_containers.is_some(),
        "ephemeralContainers",
        "not allowed in a pod template: use kubectl debug on a running pod",
    );
    for (index, volume) in pod.volumes.iter().flatten().enumerate() {
        refuse_if(
            volume.host_path.is_some(),
            &format!("volumes[{index}].hostPath"),
            "a consumer may not mount its node's files",
        );
    }
}

fn each_container(pod: &PodSpec, violations: &mut Vec<Violation>) {
    for (path, container) in containers(pod) {
        container_has_no_node_access(container, &path, violations);
    }
}

/// The containers and init containers of the overlay with their paths.
pub(crate) fn containers(pod: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let lists = [("containers", Some(&pod.containers)), ("initContainers", pod.init_containers.as_ref())];
    lists.into_iter().flat_map(|(list, containers)| {
        let containers = containers.into_iter().flatten().enumerate();
        containers.map(move |(index, container)| (format!("{OVERLAY}.spec.{list}[{index}]"), container))
    })
}

fn container_has_no_node_access(container: &Container, path: &str, violations: &mut Vec<Violation>) {
    let mut refuse_if = |requested: bool, field: String, message: &str| {
        if requested {
            violations.push(Violation::forbidden(Rule::Privilege, format!("{path}.{field}"), message));
        }
    };
    if let Some(context) = &container.security_context {
        refuse_if(
            context.privileged == Some(true),
            "securityContext.privileged".into(),
            "a consumer may not be privileged",
        );
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        for (index, capability) in added.enumerate() {
            let allowed = BASELINE_CAPABILITIES.contains(&capability.as_str());
            let field = format!("securityContext.capabilities.add[{index}]");
            refuse_if(!allowed, field, &may_add());
        }
    }
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let requested = port.host_port.is_some_and(|port| port != 0);
        refuse_if(requested, format!("ports[{index}].hostPort"), "a consumer may not use a port of its node");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;
    use serde_json::json;

    fn fields(overlay: &Value) -> Vec<String> {
        let spec: KconsumerGroupSpec =
            serde_json::from_value(json!({"consumerSpec": {"podTemplate": overlay}})).unwrap();
        let mut violations = Vec::new();
        let input = RuleInput::new(Some("k"), "default", &spec, &TopicGrants::Own);
        overlay_is_a_pod_template(&input, &mut violations);
        violations
            .into_iter()
            .map(|violation| {
                violation.field.strip_prefix("spec.consumerSpec.podTemplate.").unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn node_access_is_refused_in_every_container_and_in_the_pod() {
        let bad = json!({"name": "a", "securityContext": {"privileged": true, "capabilities": {"add": ["NET_ADMIN"]}}, "ports": [{"containerPort": 1, "hostPort": 1}]});
        let overlay = json!({"spec": {
            "containers": [bad], "initContainers": [bad],
            "hostNetwork": true, "hostPID": true, "hostIPC": true, "nodeName": "n",
            "ephemeralContainers": [{"name": "e"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        assert_eq!(
            fields(&overlay),
            [
                "spec.hostNetwork",
                "spec.hostPID",
                "spec.hostIPC",
                "spec.nodeName",
                "spec.ephemeralContainers",
                "spec.volumes[0].hostPath",
                "spec.containers[0].securityContext.privileged",
                "spec.containers[0].securityContext.capabilities.add[0]",
                "spec.containers[0].ports[0].hostPort",
                "spec.initContainers[0].securityContext.privileged",
                "spec.initContainers[0].securityContext.capabilities.add[0]",
                "spec.initContainers[0].ports[0].hostPort",
            ]
        );
    }

    #[test]
    fn fields_without_node_access_are_allowed() {
        let overlay = json!({"metadata": {"labels": {"team": "data", "app": "k"}}, "spec": {
            "serviceAccountName": "s", "hostNetwork": false,
            "containers": [{"name": "a", "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
        assert_eq!(fields(&overlay), [] as [&str; 0]);
    }

    #[test]
    fn selector_labels_and_unknown_fields_are_refused_with_their_paths() {
        assert_eq!(fields(&json!({"metadata": {"labels": {"app": "other"}}})), ["metadata.labels[app]"]);
        assert_eq!(fields(&json!({"metadata": {"labels": {"app": null}}})), ["metadata.labels[app]"]);
        assert_eq!(fields(&json!({"spec": {"containers": null}})), ["spec.containers"]);
        assert_eq!(fields(&json!({"spec": {"contaners": []}})), ["spec.contaners"]);
    }
}
