//! A paused group is watched and reported on, but only its status is written.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, SERVICE, TOPIC, condition};
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![a_paused_group_is_not_repaired, a_group_that_is_created_paused_gets_no_children_until_it_is_resumed];

const NAME: &str = "kconsumer";

async fn a_paused_group_is_not_repaired(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("paused").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let audit = ns.audit()?;
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    let group = ns.condition_is(NAME, "Paused", "PausedBySpec").await?;
    let [status, _, message] = condition(&group, "Paused");
    assert!(status == "True" && message.contains("continues to scale"), "{message}");

    // A changed, a deleted and an outdated child: none is repaired.
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
        .eventually(GROUP, NAME, "its status is updated", |group| {
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

async fn a_group_that_is_created_paused_gets_no_children_until_it_is_resumed(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("paused-fresh").await?;
    let audit = ns.audit()?;
    ns.create_group(NAME, &json!({"paused": true})).await?;
    ns.condition_is(NAME, "Paused", "PausedBySpec").await?;
    assert_eq!(audit.children()?, [] as [String; 0]);
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    for kind in CHILDREN {
        ns.exists(kind, NAME).await?;
    }
    ns.group_is_ready(NAME).await?;
    ns.close().await
}
