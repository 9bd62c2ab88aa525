//! Ready and Progressing follow the rollout, as `kubectl rollout status` decides it.

use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, EVENT, GROUP, POD, TOPIC, condition, is_observed};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    kubectl_wait_right_after_a_patch_waits_for_the_new_pods,
    a_group_that_grows_never_stops_being_ready,
    a_group_scaled_to_zero_stays_there_and_says_how_to_start_it,
    the_autoscaler_raises_a_group_below_its_minimum,
    a_paused_rollout_is_ready_by_what_runs_and_names_the_command,
    a_quota_that_refuses_the_pods_is_quoted,
    pod_security_that_refuses_the_pods_is_quoted,
];

const NAME: &str = "kconsumer";

fn image(tag: &str) -> Value {
    json!({"spec": {"consumerSpec": {"image": format!("example.com/consumer:{tag}")}}})
}

/// Runs `kubectl wait --for=condition=Ready`; whether the group was ready in time.
async fn kubectl_wait(ns: &Namespace, timeout: &str) -> Result<bool> {
    let timeout = format!("--timeout={timeout}");
    let waited = ns.kubectl(&["wait", "kcg/kconsumer", "--for=condition=Ready", &timeout]).await?;
    Ok(waited.ok().is_ok())
}

fn assert_condition(group: &Value, type_: &str, status: &str, reason: &str) {
    assert_eq!(condition(group, type_)[..2], [status, reason], "{type_}: {}", group["status"]);
}

async fn kubectl_wait_right_after_a_patch_waits_for_the_new_pods(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("wait-for-rollout").await?;
    ns.create_group(NAME, &json!({})).await?;
    ensure!(kubectl_wait(&ns, "60s").await?, "the first pods are waited for");

    // The old pod stays available, and the new one never runs.
    let nowhere = json!({"nodeSelector": {"there": "is-none"}});
    let patch = |spec: &Value| json!({"spec": {"consumerSpec": {"podTemplate": {"spec": spec}}}});
    ns.patch(GROUP, NAME, &patch(&nowhere)).await?;
    ensure!(!kubectl_wait(&ns, "3s").await?, "the new pod does not run");
    let group = ns.group_is(NAME, "Unknown", "RollingOut").await?;
    assert_condition(&group, "Progressing", "True", "RollingOut");
    assert_condition(&group, "Stalled", "False", "NotStalled");
    assert_eq!(group["status"]["availableReplicas"], 1);

    ns.patch(GROUP, NAME, &patch(&json!({"nodeSelector": null}))).await?;
    ns.patch(GROUP, NAME, &image("good")).await?;
    ensure!(kubectl_wait(&ns, "60s").await?, "the rollout ends");
    let deployment = ns.get(DEPLOYMENT, NAME).await?;
    let status = &deployment["status"];
    assert_eq!(status["observedGeneration"], deployment["metadata"]["generation"]);
    assert_eq!((&status["updatedReplicas"], &status["replicas"]), (&json!(1), &json!(1)), "{status}");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "example.com/consumer:good");
    let group = ns.group_is_ready(NAME).await?;
    assert_condition(&group, "Progressing", "False", "RolloutComplete");
    ns.close().await
}

async fn a_group_that_grows_never_stops_being_ready(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("grows").await?;
    ns.create_topic("fast-data-topic", 12).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let seen = tokio::spawn(readiness_until_twelve(ns.clone()));
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=12"]).await?.ok()?;
    let seen = seen.await??;
    assert!(seen.iter().all(|ready| ready == "True"), "{seen:?}");

    // Nor does a group with more pods than its minimum when one of them is not available.
    let pod = ns.list(POD).await?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let not_ready =
        json!({"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]});
    ns.patch_status(POD, &pod, &not_ready).await?;
    let group = ns.condition_is(NAME, "Progressing", "Scaling").await?;
    assert_eq!(group["status"]["availableReplicas"], 11);
    assert_condition(&group, "Ready", "True", "Reconciled");
    ns.close().await
}

/// The status of Ready in every version of the group, until twelve consumers are available and
/// nothing progresses.
async fn readiness_until_twelve(ns: Namespace) -> Result<Vec<String>> {
    let mut events = pin!(watcher::watch_object(ns.api(GROUP), NAME));
    let mut seen = Vec::new();
    let watching = async {
        while let Some(event) = events.next().await {
            let group = serde_json::to_value(event?.context("the group is gone")?)?;
            seen.push(condition(&group, "Ready")[0].to_owned());
            let is_done = condition(&group, "Progressing")[1] == "RolloutComplete";
            if group["status"]["availableReplicas"] == 12 && is_done {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    };
    tokio::time::timeout(LIMIT, watching).await.context("twelve consumers take too long")??;
    Ok(seen)
}

async fn a_group_scaled_to_zero_stays_there_and_says_how_to_start_it(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("scaled-to-zero").await?;
    ns.create_group(NAME, &json!({"minReplicas": 2})).await?;
    ns.group_is_ready(NAME).await?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=0"]).await?.ok()?;
    let group = ns.group_is(NAME, "False", "ScaledToZero").await?;
    assert_condition(&group, "Stalled", "True", "ScaledToZero");
    assert_condition(&group, "Progressing", "False", "ScaledToZero");
    let command = "kubectl scale deployment/kconsumer --replicas=2";
    assert!(condition(&group, "Ready")[2].ends_with(command), "{}", condition(&group, "Ready")[2]);
    let warning = eventually("the Event", LIMIT, async || {
        let events = ns.list(EVENT).await.unwrap_or_default();
        let warning = events.into_iter().find(|event| event["reason"] == "ScaledToZero");
        Ok(warning.ok_or("no Event ScaledToZero"))
    });
    assert_eq!(warning.await?["type"], "Warning");
    // The autoscaler has seen it, and leaves it at 0.
    ns.eventually(AUTOSCALER, NAME, "it is disabled", |autoscaler| {
        condition(autoscaler, "ScalingActive")[1] == "ScalingDisabled"
    })
    .await?;
    assert_eq!(ns.get(DEPLOYMENT, NAME).await?["spec"]["replicas"], 0);
    // That is no fault of the metric, and is not told a second time.
    let group = ns.condition_is(NAME, "MetricsAvailable", "ScaledToZero").await?;
    assert_condition(&group, "MetricsAvailable", "Unknown", "ScaledToZero");
    let events = ns.list(EVENT).await?;
    assert_eq!(events.iter().filter(|event| event["reason"] == "ScaledToZero").count(), 1);

    let args: Vec<&str> = command.split(' ').skip(1).collect();
    ns.kubectl(&args).await?.ok()?;
    let group = ns.group_is_ready(NAME).await?;
    assert_condition(&group, "Stalled", "False", "NotStalled");
    ns.close().await
}

async fn the_autoscaler_raises_a_group_below_its_minimum(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("below-minimum").await?;
    ns.create_group(NAME, &json!({"minReplicas": 3})).await?;
    ns.group_is_ready(NAME).await?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=1"]).await?.ok()?;
    ns.eventually(DEPLOYMENT, NAME, "it is lowered", |seen| seen["spec"]["replicas"] == 1).await?;
    // The HorizontalPodAutoscaler, not the operator: it has no metric, and needs none for this.
    ns.eventually(DEPLOYMENT, NAME, "three are available", |seen| seen["status"]["availableReplicas"] == 3)
        .await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}

async fn a_paused_rollout_is_ready_by_what_runs_and_names_the_command(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("rollout-paused").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    ns.kubectl(&["rollout", "pause", "deployment/kconsumer"]).await?.ok()?;
    ns.condition_is(NAME, "Progressing", "RolloutPaused").await?;
    ns.patch(GROUP, NAME, &image("later")).await?;
    let group = ns.group_is(NAME, "True", "RolloutPaused").await?;
    assert_condition(&group, "Progressing", "False", "RolloutPaused");
    assert_condition(&group, "Stalled", "False", "NotStalled");
    let message = condition(&group, "Ready")[2];
    let command = "kubectl rollout resume deployment/kconsumer";
    assert!(message.starts_with("the pods still run a previous pod template"), "{message}");
    assert!(message.ends_with(command), "{message}");
    let running = |pod: &Value| pod["spec"]["containers"][0]["image"] == "thenextapps/kconsumer:latest";
    assert!(ns.list(POD).await?.iter().all(running));
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    ns.kubectl(&args).await?.ok()?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}

async fn a_quota_that_refuses_the_pods_is_quoted(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("quota").await?;
    ns.create_quota("compute", &json!({"limits.cpu": "1"})).await?;
    ns.create_group(NAME, &json!({})).await?;
    let group = ns.group_is(NAME, "False", "ReplicaFailure").await?;
    assert_condition(&group, "Stalled", "True", "ReplicaFailure");
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("must specify limits.cpu for: kconsumer"), "{message}");

    let limits = json!({"spec": {"consumerSpec": {"resources": {"limits": {"cpu": "1"}}}}});
    ns.patch(GROUP, NAME, &limits).await?;
    ns.group_is_ready(NAME).await?;
    // More than that has no room, and is not needed.
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 6}})).await?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=2"]).await?.ok()?;
    let group = ns.group_is(NAME, "True", "QuotaExceeded").await?;
    assert_condition(&group, "Progressing", "False", "QuotaExceeded");
    assert!(condition(&group, "Ready")[2].contains("exceeded quota: compute"));
    ns.close().await
}

async fn pod_security_that_refuses_the_pods_is_quoted(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("restricted").await?;
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    ns.kubectl(&["label", "namespace", &ns.name, enforce]).await?.ok()?;
    ns.create_group(NAME, &json!({})).await?;
    let group = ns
        .eventually(GROUP, NAME, "its pods are refused", |group| {
            is_observed(group) && condition(group, "Ready")[1] == "ReplicaFailure"
        })
        .await?;
    assert_condition(&group, "Ready", "False", "ReplicaFailure");
    let message = condition(&group, "Ready")[2];
    assert!(
        message.contains("violates PodSecurity") && message.contains("runAsNonRoot != true"),
        "{message}"
    );
    let user = json!({"securityContext": {"runAsNonRoot": true}});
    ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"podTemplate": {"spec": user}}}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}
