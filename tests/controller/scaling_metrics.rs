//! The metrics of an autoscaler besides the lag: those of the group, and no others.

use std::time::Duration;

use kcg_tests::Outcome;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, condition};
use serde_json::{Value, json};

use crate::env::ControllerEnv;

/// A group's lag is written every 30 s at most.
const NEXT_LAG: Duration = Duration::from_mins(1);
const LAG: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";

fn cpu(percent: i32) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

/// The API server stores its target in another form.
fn rate() -> Value {
    json!({"type": "Pods", "pods": {
        "metric": {"name": "rate", "selector": {"matchLabels": {"app": "g"}}},
        "target": {"type": "AverageValue", "averageValue": "1000m"},
    }})
}

fn spec(metrics: &[Value]) -> Value {
    json!({"consumerSpec": {"resources": {"requests": {"cpu": "250m"}}}, "scaling": {"metrics": metrics}})
}

/// The names of the autoscaler's metrics, in their order.
fn names(autoscaler: &Value) -> Vec<&str> {
    let metrics = autoscaler["spec"]["metrics"].as_array().into_iter().flatten();
    let name = ["/pods/metric/name", "/resource/name"];
    metrics.filter_map(|metric| name.iter().find_map(|path| metric.pointer(path))?.as_str()).collect()
}

async fn has(env: &ControllerEnv, wanted: &[&str]) -> Outcome<Value> {
    Ok(env
        .eventually(AUTOSCALER, "g", &format!("its metrics are {wanted:?}"), |seen| names(seen) == wanted)
        .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn further_metrics_stand_behind_the_lag_and_cost_no_write_at_rest_and_at_a_restart() -> Outcome {
    let env = ControllerEnv::start("two-metrics").await?;
    env.create_group("g", &spec(&[cpu(70), rate()])).await?;
    env.children_exist("g").await?;
    let before = has(&env, &[LAG, "cpu", "rate"]).await?;
    let pods = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    env.patch_status(DEPLOYMENT, "g", &pods).await?;
    env.eventually(GROUP, "g", "a ready consumer", |group| group["status"]["readyReplicas"] == 1).await?;
    env.faults.log.clear();
    // A change that has to be reconciled, so that the absence of a write means something.
    let status = |metrics: &Value| {
        let active =
            json!({"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "m"});
        json!({"currentReplicas": 1, "desiredReplicas": 1, "currentMetrics": metrics, "conditions": [active]})
    };
    let current = |name: &str, value: &str| json!({"type": "Pods", "pods": {"metric": {"name": name}, "current": {"averageValue": value}}});
    let unread = json!({"type": ""});
    env.patch_status(AUTOSCALER, "g", &status(&json!([unread, current("rate", "7"), unread]))).await?;
    let message = env.reason_is("g", "MetricsAvailable", "MetricsMissing").await?;
    assert!(
        message.contains(&format!("reads other metrics of spec.scaling.metrics, but not {LAG}")),
        "{message}"
    );
    env.patch_status(AUTOSCALER, "g", &status(&json!([current("rate", "7"), unread, current(LAG, "500")])))
        .await?;
    let group = env.condition_is("g", "MetricsAvailable", "MetricsRead").await?;
    assert_eq!(group["status"]["lag"]["summary"], "500/1k");
    assert_eq!(condition(&group, "PartitionBound")[1], "RoomToScale");

    assert_eq!(env.faults.log.count("PATCH", "/horizontalpodautoscalers/g"), 0);

    let env = env.restart(async |_| Ok(())).await?;
    env.patch_status(AUTOSCALER, "g", &status(&json!([current(LAG, "0"), unread]))).await?;
    let patient = env.within(NEXT_LAG);
    patient.eventually(GROUP, "g", "no lag", |group| group["status"]["lag"]["summary"] == "0/1k").await?;
    let after = env.get(AUTOSCALER, "g").await?;
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(env.faults.log.count("PATCH", "/horizontalpodautoscalers/g"), 0);
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_goes_with_the_spec_and_drift_of_the_others_is_repaired() -> Outcome {
    let env = ControllerEnv::start("metric-drift").await?;
    env.create_group("g", &spec(&[cpu(70), rate()])).await?;
    let made = has(&env, &[LAG, "cpu", "rate"]).await?;

    // Another field manager adds one, removes one, changes one, and puts one in front.
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
    let percent = "/spec/metrics/1/resource/target/averageUtilization";
    for change in [
        json!({"op": "add", "path": "/spec/metrics/-", "value": memory}),
        json!({"op": "remove", "path": "/spec/metrics/1"}),
        json!({"op": "replace", "path": percent, "value": 90}),
        json!({"op": "add", "path": "/spec/metrics/0", "value": rate()}),
    ] {
        env.json_patch(AUTOSCALER, "g", &json!([change])).await?;
        env.eventually(AUTOSCALER, "g", "its own metrics", |seen| seen["spec"] == made["spec"]).await?;
    }

    let path = "/spec/scaling/metrics";
    env.json_patch(GROUP, "g", &json!([{"op": "replace", "path": path, "value": [rate()]}])).await?;
    has(&env, &[LAG, "rate"]).await?;
    let env = env
        .restart(async |ns| {
            ns.json_patch(GROUP, "g", &json!([{"op": "remove", "path": path}])).await?;
            Ok(())
        })
        .await?;
    has(&env, &[LAG]).await?;
    env.stop().await
}
