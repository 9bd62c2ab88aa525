//! A paused group is watched and reported on, and nothing of it is written but its status.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, SERVICE, TOPIC, condition};
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![paused_group_is_left_as_it_is, group_that_begins_paused_gets_nothing_until_it_may];

const NAME: &str = "kconsumer";

async fn paused_group_is_left_as_it_is(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("paused").await?;
    ns.create_topic("fast-data-topic", 3).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let audit = ns.audit()?;
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    let group = ns.condition_is(NAME, "Paused", "PausedBySpec").await?;
    let [status, _, message] = condition(&group, "Paused");
    assert!(status == "True" && message.contains("goes on scaling"), "{message}");

    // Changed, deleted, out of date: nothing of it is put right.
    ns.patch(SERVICE, NAME, &json!({"spec": {"selector": {"app": "other"}}})).await?;
    ns.delete(DEPLOYMENT, NAME).await?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 6}})).await?;
    ns.patch(
        GROUP,
        NAME,
        &json!({"spec": {"averageRecordsLagLimit": 5, "consumerSpec": {"image": "example.com/new:1"}}}),
    )
    .await?;
    let group = ns
        .eventually(GROUP, NAME, "its status goes on", |group| {
            kcg_tests::objects::is_observed(group)
                && group["status"]["partitions"] == 6
                && group["status"]["replicas"] == 0
        })
        .await?;
    assert_eq!(condition(&group, "Paused")[0], "True");
    assert_eq!(audit.children()?, [] as [String; 0]);

    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.bounds_are(NAME, 1, 6).await?;
    assert_eq!(ns.get(SERVICE, NAME).await?["spec"]["selector"]["app"], NAME);
    assert_eq!(
        ns.get(DEPLOYMENT, NAME).await?["spec"]["template"]["spec"]["containers"][0]["image"],
        "example.com/new:1"
    );
    assert_eq!(
        audit.children()?,
        ["deployments", "horizontalpodautoscalers", "prometheusrules", "services"],
        "one write each"
    );
    ns.close().await
}

async fn group_that_begins_paused_gets_nothing_until_it_may(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("paused-fresh").await?;
    ns.create_topic("fast-data-topic", 3).await?;
    let audit = ns.audit()?;
    ns.create_group(NAME, &json!({"paused": true})).await?;
    ns.condition_is(NAME, "Paused", "PausedBySpec").await?;
    assert_eq!(audit.children()?, [] as [String; 0]);
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    for kind in CHILDREN {
        ns.eventually(kind, NAME, "it is made", |_| true).await?;
    }
    ns.group_is_ready(NAME).await?;
    ns.close().await
}
