//! What a pod template laid over the operator's own may not ask for. The right to write a group is the right
//! to create a Deployment, and no more than that: what reaches the node is refused here.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

use crate::names;
use crate::overlay::{self, OverlayError};
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

const OVERLAY: &str = "spec.consumerSpec.podTemplate";

/// Every field is one that a PodTemplateSpec has, and none reaches the node or breaks the selector.
pub fn overlay_is_a_pod_template(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(template) = &input.spec.consumer_spec.pod_template else {
        return;
    };
    match overlay::read(template) {
        Ok(overlay) => {
            selector_labels_are_the_group_s(input, template, violations);
            if let Some(pod) = &overlay.template().spec {
                pod_stays_off_the_node(pod, violations);
                each_container(pod, violations);
            }
        }
        Err(unreadable) => violations.extend(unreadable.into_iter().map(unreadable_overlay)),
    }
}

fn unreadable_overlay(unreadable: OverlayError) -> Violation {
    match unreadable {
        OverlayError::UnknownField(path) => Violation::forbidden(
            Rule::PodTemplate,
            format!("{OVERLAY}.{path}"),
            "no PodTemplateSpec has this field",
        ),
        OverlayError::WrongType { path, expected } => {
            let field = if path == "." { OVERLAY.to_owned() } else { format!("{OVERLAY}.{path}") };
            Violation::forbidden(Rule::PodTemplate, field, expected)
        }
        OverlayError::Required(path) => Violation::required(
            Rule::PodTemplate,
            format!("{OVERLAY}.{path}"),
            "null takes a field away, and no pod is complete without this one",
        ),
    }
}

/// The selector holds these two labels, and a selector cannot be changed.
fn selector_labels_are_the_group_s(input: &RuleInput<'_>, template: &Value, violations: &mut Vec<Violation>) {
    let labels = template.pointer("/metadata/labels");
    for label in [names::LABEL_APP, names::LABEL_GROUP] {
        // Null would take it away.
        let written = labels.and_then(|labels| labels.get(label));
        if written.is_some_and(|written| written.as_str().is_none_or(|written| Some(written) != input.name)) {
            let field = format!("{OVERLAY}.metadata.labels[{label}]");
            violations.push(Violation::forbidden(
                Rule::PodTemplate,
                field,
                "the operator finds the group's pods by this label",
            ));
        }
    }
}

fn pod_stays_off_the_node(pod: &PodSpec, violations: &mut Vec<Violation>) {
    let mut refuse = |asked: bool, field: &str, sentence: &str| {
        if asked {
            violations.push(Violation::forbidden(
                Rule::Privilege,
                format!("{OVERLAY}.spec.{field}"),
                sentence,
            ));
        }
    };
    refuse(pod.host_network == Some(true), "hostNetwork", "a consumer may not share its node's network");
    refuse(pod.host_pid == Some(true), "hostPID", "a consumer may not see its node's processes");
    refuse(pod.host_ipc == Some(true), "hostIPC", "a consumer may not share its node's memory");
    refuse(
        pod.node_name.is_some(),
        "nodeName",
        "a consumer goes through the scheduler: use nodeSelector or affinity",
    );
    refuse(
        pod.ephemeral_containers.is_some(),
        "ephemeralContainers",
        "no pod template has these: use kubectl debug on a running pod",
    );
    for (index, volume) in pod.volumes.iter().flatten().enumerate() {
        refuse(
            volume.host_path.is_some(),
            &format!("volumes[{index}].hostPath"),
            "a consumer may not mount its node's files",
        );
    }
}

fn each_container(pod: &PodSpec, violations: &mut Vec<Violation>) {
    let lists = [("containers", Some(&pod.containers)), ("initContainers", pod.init_containers.as_ref())];
    for (list, containers) in lists {
        for (index, container) in containers.into_iter().flatten().enumerate() {
            container_stays_off_the_node(container, &format!("{OVERLAY}.spec.{list}[{index}]"), violations);
        }
    }
}

fn container_stays_off_the_node(container: &Container, path: &str, violations: &mut Vec<Violation>) {
    let mut refuse = |asked: bool, field: String, sentence: &str| {
        if asked {
            violations.push(Violation::forbidden(Rule::Privilege, format!("{path}.{field}"), sentence));
        }
    };
    if let Some(context) = &container.security_context {
        refuse(
            context.privileged == Some(true),
            "securityContext.privileged".into(),
            "a consumer may not be privileged",
        );
        let added = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
        let adds = added.is_some_and(|added| !added.is_empty());
        refuse(adds, "securityContext.capabilities.add".into(), "a consumer may not add capabilities");
    }
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let asked = port.host_port.is_some_and(|port| port != 0);
        refuse(asked, format!("ports[{index}].hostPort"), "a consumer may not take a port of its node");
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
        let input =
            RuleInput { name: Some("k"), namespace: "default", spec: &spec, grants: &TopicGrants::Own };
        overlay_is_a_pod_template(&input, &mut violations);
        violations
            .into_iter()
            .map(|violation| {
                violation.field.strip_prefix("spec.consumerSpec.podTemplate.").unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn what_reaches_the_node_is_refused_in_every_container_and_in_the_pod() {
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
                "spec.containers[0].securityContext.capabilities.add",
                "spec.containers[0].ports[0].hostPort",
                "spec.initContainers[0].securityContext.privileged",
                "spec.initContainers[0].securityContext.capabilities.add",
                "spec.initContainers[0].ports[0].hostPort",
            ]
        );
    }

    #[test]
    fn what_stays_in_the_pod_is_the_person_s_choice() {
        let overlay = json!({"metadata": {"labels": {"team": "data", "app": "k"}}, "spec": {
            "serviceAccountName": "s", "hostNetwork": false,
            "containers": [{"name": "a", "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"]}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
        assert_eq!(fields(&overlay), [] as [&str; 0]);
    }

    #[test]
    fn the_selector_s_labels_and_unknown_fields_are_refused_by_path() {
        assert_eq!(fields(&json!({"metadata": {"labels": {"app": "other"}}})), ["metadata.labels[app]"]);
        assert_eq!(fields(&json!({"metadata": {"labels": {"app": null}}})), ["metadata.labels[app]"]);
        assert_eq!(fields(&json!({"spec": {"containers": null}})), ["spec.containers"]);
        assert_eq!(fields(&json!({"spec": {"contaners": []}})), ["spec.contaners"]);
    }
}
