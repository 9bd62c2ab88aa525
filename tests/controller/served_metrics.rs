//! The lag metric of an autoscaler while a metrics adapter lacks the rules of this version.

use std::time::Duration;

use kcg_devcluster::MetricsApi;
use kcg_tests::objects::{AUTOSCALER, condition};
use kcg_tests::{Outcome, eventually, met};
use serde_json::{Value, json};

use crate::env::{ControllerEnv, plane};

const FORMER: &str = "kafka_consumer_fetch_manager_records_lag_max";
const OWN: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";
/// The controller asks once a minute what is served.
const NEXT_LOOK: Duration = Duration::from_secs(90);

fn metric(autoscaler: &Value) -> &Value {
    &autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_reads_the_former_metric_until_its_own_is_served() -> Outcome {
    let adapter = MetricsApi::start(plane().await?).await?;
    adapter.set("rules-missing", "g-", FORMER, 1);
    let env = ControllerEnv::start("rules-missing").await?;
    eventually("the controller to ask what is served", NEXT_LOOK, async || {
        let asked = env.faults.log.count("GET", "/apis/custom.metrics.k8s.io/v1beta2");
        Ok(met(asked > 0, || "not yet".to_owned()))
    })
    .await?;
    env.create_group("g", &json!({})).await?;
    let autoscaler = env.exists(AUTOSCALER, "g").await?;
    assert_eq!(metric(&autoscaler), FORMER);
    let active =
        json!({"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "m"});
    let status = json!({"currentReplicas": 1, "desiredReplicas": 1, "conditions": [active]});
    env.patch_status(AUTOSCALER, "g", &status).await?;
    let group = env.condition_is("g", "MetricsAvailable", "RuleMissing").await?;
    let [status, _, message] = condition(&group, "MetricsAvailable");
    assert_eq!(status, "True");
    assert!(message.contains(&format!("does not serve {OWN}")), "{message}");

    // The rules are added. It changes by itself, and stays although they come and go.
    adapter.set("rules-missing", "g-", OWN, 1);
    let patient = env.within(NEXT_LOOK);
    patient
        .eventually(AUTOSCALER, "g", "it reads its own metric", |autoscaler| metric(autoscaler) == OWN)
        .await?;
    patient.condition_is("g", "MetricsAvailable", "MetricsRead").await?;
    env.stop().await
}
