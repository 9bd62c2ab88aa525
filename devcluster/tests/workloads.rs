//! The real autoscaler scales simulated pods by simulated metrics.

use std::time::Duration;

use kcg_devcluster::{ControlPlane, MetricsApi, wait};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LIMIT: Duration = Duration::from_secs(90);
const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: consumer, namespace: default}
spec:
  selector: {matchLabels: {app: consumer}}
  template:
    metadata: {labels: {app: consumer}}
    spec:
      containers: [{name: consumer, image: example.com/consumer:1}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: consumer, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: consumer}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Pods
    pods:
      metric: {name: records_lag}
      target: {type: AverageValue, averageValue: "1000"}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 0}
"#;

async fn wait_for_ready_replicas(plane: &ControlPlane, count: &str) -> kcg_devcluster::Result<()> {
    wait::until(&format!("{count} ready pods"), LIMIT, async || {
        let path = "-o=jsonpath={.status.readyReplicas}";
        let seen = plane.kubectl(&["get", "deployment", "consumer", path]).await?.ok()?;
        Ok(if seen == count { Ok(()) } else { Err(format!("readyReplicas is {seen:?}")) })
    })
    .await
}

#[tokio::test]
async fn the_autoscaler_follows_the_simulated_metric_up_and_down() -> Outcome {
    let plane = ControlPlane::builder().start().await?;
    plane.add_node("node-1").await?;
    let metrics = MetricsApi::start(&plane).await?;
    metrics.set("default", "consumer-", "records_lag", 900);
    plane.apply_yaml(WORKLOAD).await?;
    wait_for_ready_replicas(&plane, "1").await?;
    metrics.set("default", "consumer-", "records_lag", 5000);
    wait_for_ready_replicas(&plane, "3").await?;
    metrics.set("default", "consumer-", "records_lag", 0);
    wait_for_ready_replicas(&plane, "1").await?;
    Ok(())
}

#[tokio::test]
async fn a_node_without_the_annotation_is_not_simulated() -> Outcome {
    let plane = ControlPlane::builder().controller_manager(false).scheduler(false).start().await?;
    plane.apply_yaml("{apiVersion: v1, kind: Node, metadata: {name: real}}").await?;
    plane.add_node("simulated").await?;
    let conditions = "-o=jsonpath={.status.conditions[*].type}";
    assert_eq!(plane.kubectl(&["get", "node", "real", conditions]).await?.ok()?, "");
    Ok(())
}
