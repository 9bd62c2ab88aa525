//! kstatus, the library by which Flux and others decide health, judges a group in each of its
//! states as a person would.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use kcg_devcluster::tools::{self, Tools};
use kcg_tests::objects::{DEPLOYMENT, GROUP, condition, group};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_group_that_nobody_has_looked_at_is_in_progress,
    a_group_is_current_in_progress_or_failed_as_its_pods_are,
];

const NAME: &str = "kconsumer";

/// The first word of kstatus' verdict.
async fn verdict(object: &Value) -> Result<String> {
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
