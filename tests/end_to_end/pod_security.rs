//! The pods of a group in namespaces of each level of Pod Security, and the controls of the level
//! `baseline`, which the webhook refuses as well.

use std::sync::Arc;

use anyhow::{Context, Result};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{GROUP, POD, condition, group, is_observed};
use kcg_tests::repository;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;
use crate::pod_rules::{deployment, pod_of};

cases![
    a_group_that_sets_nothing_gets_its_pods_at_the_levels_privileged_and_baseline,
    a_group_with_the_documented_template_gets_its_pods_at_the_level_restricted,
    each_control_of_baseline_is_refused_by_the_api_server_and_by_the_webhook,
];

const NAME: &str = "kconsumer";

async fn namespace(env: &SharedEnv, level: &str) -> Result<Namespace> {
    let ns = env.namespace_with_a_topic(&format!("level-{level}")).await?;
    let enforce = format!("pod-security.kubernetes.io/enforce={level}");
    ns.kubectl(&["label", "namespace", &ns.name, &enforce]).await?.ok()?;
    Ok(ns)
}

async fn a_group_that_sets_nothing_gets_its_pods_at_the_levels_privileged_and_baseline(
    env: Arc<SharedEnv>,
) -> Result<()> {
    for level in ["privileged", "baseline"] {
        let ns = namespace(&env, level).await?;
        ns.create_group(NAME, &json!({})).await?;
        ns.group_is_ready(NAME).await?;
        assert_eq!(ns.list(POD).await?.len(), 1, "{level}");
        ns.close().await?;
    }
    Ok(())
}

/// The YAML of docs/troubleshooting.md for such a namespace: a spec.
fn documented() -> Result<Value> {
    let text = std::fs::read_to_string(repository("docs/troubleshooting.md"))?;
    let (_, section) = text.split_once("\n## A namespace with Pod Security\n").context("no section")?;
    let (_, block) = section.split_once("```yaml\n").context("no YAML")?;
    let (block, _) = block.split_once("```").context("the YAML does not end")?;
    let object: Value = serde_saphyr::from_str(block)?;
    Ok(object["spec"].clone())
}

async fn a_group_with_the_documented_template_gets_its_pods_at_the_level_restricted(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = namespace(&env, "restricted").await?;
    let mut spec = documented()?;
    // With a sidecar, which needs what the text below the YAML says.
    spec["consumerSpec"]["podTemplate"]["spec"]["containers"] = json!([{"name": "sidecar", "image": "i"}]);
    ns.create_group(NAME, &spec).await?;
    let refused = |group: &Value| is_observed(group) && condition(group, "Ready")[1] == "ReplicaFailure";
    let group = ns.eventually(GROUP, NAME, "its pods are refused", refused).await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("(container \"sidecar\" must set securityContext"), "{message}");
    let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let path = "/spec/consumerSpec/podTemplate/spec/containers/0/securityContext";
    ns.json_patch(GROUP, NAME, &json!([{"op": "add", "path": path, "value": context}])).await?;
    ns.group_is_ready(NAME).await?;
    assert_eq!(ns.list(POD).await?.len(), 1);
    ns.close().await
}

/// A violation of each control of the level, by the name of the control in the Pod Security
/// Standards; some fields have further cases in `pod_rules`.
fn controls() -> Vec<(&'static str, Value)> {
    let container = |fields: Value| {
        let mut container = json!({"name": NAME});
        json_patch::merge(&mut container, &fields);
        json!({"containers": [container]})
    };
    let context = |context: Value| container(json!({"securityContext": context}));
    let host_process =
        json!({"hostNetwork": true, "securityContext": {"windowsOptions": {"hostProcess": true}}});
    vec![
        ("HostProcess", host_process),
        ("Host Namespaces: network", json!({"hostNetwork": true})),
        ("Host Namespaces: PID", json!({"hostPID": true})),
        ("Host Namespaces: IPC", json!({"hostIPC": true})),
        ("Privileged Containers", context(json!({"privileged": true, "allowPrivilegeEscalation": true}))),
        ("Capabilities", context(json!({"capabilities": {"add": ["NET_ADMIN"]}}))),
        ("HostPath Volumes", json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
        ("Host Ports", container(json!({"ports": [{"containerPort": 9999, "hostPort": 9999}]}))),
        (
            "Host Probes / Lifecycle Hooks",
            container(json!({"startupProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}})),
        ),
        ("AppArmor", context(json!({"appArmorProfile": {"type": "Unconfined"}}))),
        ("SELinux", context(json!({"seLinuxOptions": {"type": "spc_t"}}))),
        ("/proc Mount Type", {
            let mut pod = context(json!({"procMount": "Unmasked"}));
            // Without a user namespace the API server's validation refuses it before.
            pod["hostUsers"] = json!(false);
            pod
        }),
        ("Seccomp", json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
        ("Sysctls", json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})),
    ]
}

async fn each_control_of_baseline_is_refused_by_the_api_server_and_by_the_webhook(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("level-controls").await?;
    let enforce = "pod-security.kubernetes.io/enforce=baseline";
    let version = "pod-security.kubernetes.io/enforce-version=v1.34";
    ns.kubectl(&["label", "namespace", &ns.name, enforce, version]).await?.ok()?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    for (control, fields) in controls() {
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": fields}}});
        let ours = dry(&group(NAME, &spec)).await?;
        assert!(
            ours.code == 1 && ours.stderr.contains("spec.consumerSpec.podTemplate.spec"),
            "{control}: {}",
            ours.stderr
        );
        // The pod of a group without these fields, and then with them.
        let mut pod = pod_of(&deployment(NAME, &json!({}))?);
        dry(&pod).await?.ok().with_context(|| format!("{control}: the pod without it"))?;
        let mut fields = fields;
        if let Some(containers) = fields.as_object_mut().and_then(|fields| fields.remove("containers")) {
            json_patch::merge(&mut pod["spec"]["containers"][0], &containers[0]);
        }
        json_patch::merge(&mut pod["spec"], &fields);
        let theirs = dry(&pod).await?.stderr;
        // Without --allow-privileged the API server refuses two of them before Pod Security does.
        let words = ["violates PodSecurity \"baseline", "disallowed by cluster policy"];
        assert!(words.iter().any(|words| theirs.contains(words)), "{control}: {theirs}");
    }
    ns.close().await
}
