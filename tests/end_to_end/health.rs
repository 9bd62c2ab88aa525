//! What a group says of its pods and of its metric.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::objects::{DEPLOYMENT, GROUP, POD, assert_says, condition};
use crate::place::Place;
use crate::world::World;

cases![
    missing_metric_is_told_with_its_cure,
    pods_that_cannot_run_are_told_and_not_counted_as_active,
    pod_on_its_way_out_is_not_active,
];

const NAME: &str = "kconsumer";

async fn place(world: &Arc<World>, namespace: &str) -> Result<Place> {
    let place = Place::open(world, namespace).await?;
    place.create_topic("fast-data-topic", 3).await?;
    Ok(place)
}

async fn missing_metric_is_told_with_its_cure(world: Arc<World>) -> Result<()> {
    let place = place(&world, "metric-missing").await?;
    place.create_group(NAME, &json!({"metrics": {"lagMetric": "lag_of_nobody"}})).await?;
    let group = place.group_says(NAME, "MetricsAvailable", "MetricsMissing").await?;
    let [status, _, message] = condition(&group, "MetricsAvailable");
    assert_eq!(status, "False");
    for part in
        ["lag_of_nobody", "port 8085", "/actuator/prometheus", "custom metrics API", "up to 10 minutes"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    // The consumers run all the same.
    place.group_is_well(NAME).await?;
    world.metrics.set(&place.namespace, "kconsumer-", "lag_of_nobody", 7);
    let group = place.group_says(NAME, "MetricsAvailable", "MetricsRead").await?;
    assert_eq!(condition(&group, "MetricsAvailable")[0], "True");
    place.close().await
}

async fn pods_that_cannot_run_are_told_and_not_counted_as_active(world: Arc<World>) -> Result<()> {
    let place = place(&world, "pods-pending").await?;
    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there": "is-none"}}}});
    place.create_group(NAME, &json!({"consumerSpec": nowhere})).await?;
    let group = place
        .sees(GROUP, NAME, "it has a pod that is not ready", |group| {
            condition(group, "Ready")[1] == "PodsNotReady" && group["status"]["replicas"] == 1
        })
        .await?;
    assert_eq!(condition(&group, "Ready")[0], "False");
    assert_says(&group["status"], &json!({"readyReplicas": 0, "activePods": []}));

    // Kubernetes gives up on the rollout: sooner than its own ten minutes, for this test.
    place.patch(DEPLOYMENT, NAME, &json!({"spec": {"progressDeadlineSeconds": 1}})).await?;
    let group = place.group_is(NAME, "False", "RolloutStuck").await?;
    let message = condition(&group, "Ready")[2];
    assert!(
        message.contains("0 of 1 pods are ready") && message.contains("kubectl describe pods"),
        "{message}"
    );
    place.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    place.group_is_well(NAME).await?;
    place.close().await
}

async fn pod_on_its_way_out_is_not_active(world: Arc<World>) -> Result<()> {
    let place = place(&world, "pod-leaving").await?;
    place.create_group(NAME, &json!({})).await?;
    let one = |group: &Value| group["status"]["activePods"].as_array().is_some_and(|pods| pods.len() == 1);
    let group = place.sees(GROUP, NAME, "its pod is active", one).await?;
    let leaving = group["status"]["activePods"][0].as_str().unwrap_or_default().to_owned();
    let hold = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    place.patch(POD, &leaving, &hold(&["example.com/hold"])).await?;
    place.delete(POD, &leaving).await?;
    // It is still there, and another one has come in its place.
    place
        .sees(GROUP, NAME, "another pod is active and ready", |group| {
            let status = &group["status"];
            one(group) && status["activePods"][0] != json!(leaving) && status["readyReplicas"] == 1
        })
        .await?;
    assert!(place.get(POD, &leaving).await?["metadata"]["deletionTimestamp"].is_string());
    place.patch(POD, &leaving, &hold(&[])).await?;
    place.close().await
}
