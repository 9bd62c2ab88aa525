//! kstatus, the library by which Flux and others decide health, judges a group in each of its
//! states as a person would.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use kcg_devcluster::tools::{self, Tools};
use kcg_tests::objects::{DEPLOYMENT, GROUP, POD, QUOTA, condition, group};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_group_that_nobody_has_looked_at_is_in_progress,
    a_group_is_current_in_progress_or_failed_as_its_pods_are,
    what_only_a_person_can_change_is_failed_and_all_else_in_progress,
];

const NAME: &str = "kconsumer";

/// The first word of kstatus' verdict.
pub async fn verdict(object: &Value) -> Result<String> {
    let mut kstatus = Command::new(Tools::kstatus(&tools::to_stderr).await?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = kstatus.stdin.take().context("it has a standard input")?;
    input.write_all(object.to_string().as_bytes()).await?;
    drop(input);
    let output = String::from_utf8(kstatus.wait_with_output().await?.stdout)?;
    Ok(output.split_whitespace().next().context("kstatus printed a status")?.to_owned())
}

async fn a_group_that_nobody_has_looked_at_is_in_progress(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("kstatus-unseen").await?;
    // What the API server answers before the operator can have seen it.
    let stored = ns.create_object(GROUP, &group(NAME, &json!({}))).await?;
    assert_eq!(stored["status"]["observedGeneration"], -1);
    assert_eq!(verdict(&stored).await?, "InProgress");
    ns.close().await
}

async fn a_group_is_current_in_progress_or_failed_as_its_pods_are(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("kstatus").await?;
    ns.create_group(NAME, &json!({})).await?;
    assert_eq!(verdict(&ns.group_is_ready(NAME).await?).await?, "Current");

    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there": "is-none"}}}});
    let changed = ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": nowhere}})).await?;
    assert_eq!(verdict(&changed).await?, "InProgress", "the operator has not seen the change");
    let rolling = ns.group_is(NAME, "Unknown", "RollingOut").await?;
    assert_eq!(verdict(&rolling).await?, "InProgress");

    ns.patch(DEPLOYMENT, NAME, &json!({"spec": {"progressDeadlineSeconds": 1}})).await?;
    let stuck = ns.group_is(NAME, "False", "RolloutStuck").await?;
    assert_eq!(verdict(&stuck).await?, "Failed");

    ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    assert_eq!(verdict(&ns.group_is_ready(NAME).await?).await?, "Current");

    ns.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    let paused = ns.condition_is(NAME, "Progressing", "PausedBySpec").await?;
    assert_eq!(condition(&paused, "Ready")[0], "True");
    assert_eq!(verdict(&paused).await?, "Current");
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;

    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=0"]).await?.ok()?;
    let zero = ns.group_is(NAME, "False", "ScaledToZero").await?;
    assert_eq!(verdict(&zero).await?, "Failed");
    ns.close().await
}

async fn what_only_a_person_can_change_is_failed_and_all_else_in_progress(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("kstatus-reasons").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    // Its one pod may be restarting.
    let pod = ns.list(POD).await?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let not_ready =
        json!({"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]});
    ns.patch_status(POD, &pod, &not_ready).await?;
    let lost = ns.group_is(NAME, "False", "PodsNotReady").await?;
    assert_eq!(verdict(&lost).await?, "InProgress");

    let shared = json!({"consumerSpec": {"groupId": NAME}});
    ns.create_group("other", &shared).await?;
    let shared = ns.group_is("other", "False", "GroupIdShared").await?;
    assert_eq!(verdict(&shared).await?, "Failed");
    ns.delete(GROUP, "other").await?;

    let policy = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": ns.name},
            "spec": {
                "matchConstraints": {"resourceRules": [
                    {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]},
                ]},
                "validations": [{"expression": "false", "message": "no Service here"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": ns.name},
            "spec": {
                "policyName": ns.name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}}},
            },
        },
    ]});
    ns.kubectl_with(&["create", "-f", "-"], &policy.to_string()).await?.ok()?;
    kcg_tests::eventually("the policy takes effect", kcg_tests::env::LIMIT, async || {
        let args = ["create", "service", "clusterip", "a", "--tcp=80", "--dry-run=server"];
        let tried = ns.kubectl(&args).await;
        Ok(tried.is_ok_and(|tried| tried.code != 0).then_some(()).ok_or("it is not evaluated"))
    })
    .await?;
    ns.create_group("refused", &json!({"consumerSpec": {"groupId": "refused"}})).await?;
    let refused = ns.group_is("refused", "False", "ApplyRefused").await?;
    assert_eq!(verdict(&refused).await?, "Failed");
    ns.kubectl(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", &ns.name])
        .await?
        .ok()?;
    ns.delete(GROUP, "refused").await?;

    ns.create_quota("pods", &json!({"pods": "1"})).await?;
    ns.create_group("crowded", &json!({"consumerSpec": {"groupId": "crowded"}})).await?;
    let crowded = ns.group_is("crowded", "False", "QuotaExceeded").await?;
    assert_eq!(verdict(&crowded).await?, "InProgress");
    ns.patch(QUOTA, "pods", &json!({"spec": {"hard": {"pods": null, "limits.cpu": "1"}}})).await?;
    ns.eventually(QUOTA, "pods", "the limit is counted", |quota| {
        quota["status"]["hard"]["limits.cpu"] == "1"
    })
    .await?;
    ns.create_group("unlimited", &json!({"consumerSpec": {"groupId": "unlimited"}})).await?;
    let refused = ns.group_is("unlimited", "False", "ReplicaFailure").await?;
    assert_eq!(verdict(&refused).await?, "Failed");
    ns.close().await
}
