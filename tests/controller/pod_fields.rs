//! A pod template with many fields: it is written once.

use kcg_tests::Outcome;
use kcg_tests::legal_pod::legal_pod;
use kcg_tests::objects::{DEPLOYMENT, SERVICE};
use serde_json::json;

use crate::env::ControllerEnv;

/// The controller has handled all earlier events, because it repairs a later change.
async fn at_rest(env: &ControllerEnv) -> Outcome {
    env.patch(SERVICE, "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
    env.eventually(SERVICE, "g", "its own selector", |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    Ok(())
}

/// What the API server fills in or formats in another way is no drift.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_many_fields_costs_no_write_at_rest_and_at_a_restart() -> Outcome {
    let env = ControllerEnv::start("pod-fields").await?;
    let spec = json!({"consumerSpec": {"podTemplate": {"spec": legal_pod("g")}}});
    env.create_group("g", &spec).await?;
    env.children_exist("g").await?;
    let patches = |env: &ControllerEnv| env.faults.log.count("PATCH", "/deployments/g?");
    at_rest(&env).await?;
    let written = patches(&env);
    let template = env.get(DEPLOYMENT, "g").await?["spec"]["template"].clone();
    at_rest(&env).await?;
    assert_eq!(patches(&env), written, "nothing is written at rest");
    let env = env.restart(async |_| Ok(())).await?;
    at_rest(&env).await?;
    assert_eq!(patches(&env), written, "nor after a restart");
    assert_eq!(env.get(DEPLOYMENT, "g").await?["spec"]["template"], template);
    env.stop().await
}
