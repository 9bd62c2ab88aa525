//! The status of a group about its pods and its metric.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, POD, assert_contains, condition};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_missing_metric_is_reported_with_its_cure,
    pods_that_cannot_run_are_reported_and_not_counted_as_active,
    a_terminating_pod_is_not_active,
    pods_that_are_lost_make_a_running_group_unready,
    copied_labels_are_named_and_no_autoscaler_is_blamed,
];

const NAME: &str = "kconsumer";

async fn a_missing_metric_is_reported_with_its_cure(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("metric-missing").await?;
    ns.create_group(NAME, &json!({"metrics": {"lagMetric": "missing_lag"}})).await?;
    let group = ns.condition_is(NAME, "MetricsAvailable", "MetricsMissing").await?;
    let [status, _, message] = condition(&group, "MetricsAvailable");
    assert_eq!(status, "False");
    for part in ["missing_lag", "port 8085", "/actuator/prometheus", "custom metrics API", "up to 10 minutes"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    // The consumers run nevertheless.
    ns.group_is_ready(NAME).await?;
    env.metrics.set(&ns.name, "kconsumer-", "missing_lag", 7);
    let group = ns.condition_is(NAME, "MetricsAvailable", "MetricsRead").await?;
    assert_eq!(condition(&group, "MetricsAvailable")[0], "True");
    ns.close().await
}

async fn pods_that_cannot_run_are_reported_and_not_counted_as_active(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("pods-pending").await?;
    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there": "is-none"}}}});
    ns.create_group(NAME, &json!({"consumerSpec": nowhere})).await?;
    let group = ns
        .eventually(GROUP, NAME, "it has a pod that is not ready", |group| {
            condition(group, "Ready")[1] == "RollingOut" && group["status"]["replicas"] == 1
        })
        .await?;
    assert_eq!(condition(&group, "Ready")[0], "Unknown");
    assert_contains(&group["status"], &json!({"readyReplicas": 0, "availableReplicas": 0, "activePods": []}));

    // Kubernetes reports the rollout as failed, in this test before its default of ten minutes.
    ns.patch(DEPLOYMENT, NAME, &json!({"spec": {"progressDeadlineSeconds": 1}})).await?;
    let group = ns.group_is(NAME, "False", "RolloutStuck").await?;
    assert_eq!(condition(&group, "Progressing")[..2], ["False", "RolloutStuck"]);
    assert_eq!(condition(&group, "Stalled")[..2], ["True", "RolloutStuck"]);
    let message = condition(&group, "Ready")[2];
    assert!(
        message.contains("0 of 1 pods are ready") && message.contains("kubectl describe pods"),
        "{message}"
    );
    ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}

async fn a_terminating_pod_is_not_active(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("pod-leaving").await?;
    ns.create_group(NAME, &json!({})).await?;
    let one = |group: &Value| group["status"]["activePods"].as_array().is_some_and(|pods| pods.len() == 1);
    let group = ns.eventually(GROUP, NAME, "its pod is active", one).await?;
    let leaving = group["status"]["activePods"][0].as_str().unwrap_or_default().to_owned();
    let hold = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    ns.patch(POD, &leaving, &hold(&["example.com/hold"])).await?;
    ns.delete(POD, &leaving).await?;
    // It still exists, and another pod has replaced it.
    ns.eventually(GROUP, NAME, "another pod is active and ready", |group| {
        let status = &group["status"];
        one(group) && status["activePods"][0] != json!(leaving) && status["readyReplicas"] == 1
    })
    .await?;
    assert!(ns.get(POD, &leaving).await?["metadata"]["deletionTimestamp"].is_string());
    ns.patch(POD, &leaving, &hold(&[])).await?;
    ns.close().await
}

async fn pods_that_are_lost_make_a_running_group_unready(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("pods-lost").await?;
    ns.create_group(NAME, &json!({})).await?;
    let group = ns.group_is_ready(NAME).await?;
    let pod = group["status"]["activePods"][0].as_str().unwrap_or_default().to_owned();
    let not_ready =
        json!({"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]});
    ns.patch_status(POD, &pod, &not_ready).await?;
    let group = ns.group_is(NAME, "False", "PodsNotReady").await?;
    assert_contains(&group["status"], &json!({"replicas": 1, "availableReplicas": 0}));
    assert_eq!(condition(&group, "Stalled")[0], "False");
    let ready = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    ns.patch_status(POD, &pod, &ready).await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}

async fn copied_labels_are_named_and_no_autoscaler_is_blamed(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("copied-labels").await?;
    let labels = json!({"team": "data", "component": "consumer"});
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "example.com/c:1"}]}},
        },
    });
    ns.create_object(DEPLOYMENT, &legacy).await?;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "legacy"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "legacy"}, "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    ns.create_object(AUTOSCALER, &autoscaler).await?;
    ns.create_group(NAME, &json!({"consumerSpec": {"podTemplate": {"metadata": {"labels": labels}}}}))
        .await?;
    let group = ns.group_is(NAME, "False", "OtherAutoscaler").await?;
    let message = condition(&group, "Ready")[2];
    for part in
        ["HorizontalPodAutoscaler legacy", "component=consumer, team=data", "take the copied ones out"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    // As the message proposes. The other autoscaler stays.
    ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}
