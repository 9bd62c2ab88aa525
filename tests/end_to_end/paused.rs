//! A paused group is watched and reported on, and nothing of it is written but its status.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::cases::cases;
use crate::objects::{CHILDREN, DEPLOYMENT, GROUP, SERVICE, TOPIC, condition};
use crate::place::Place;
use crate::world::World;

cases![paused_group_is_left_as_it_is, group_that_begins_paused_gets_nothing_until_it_may];

const NAME: &str = "kconsumer";

async fn paused_group_is_left_as_it_is(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "paused").await?;
    place.create_topic("fast-data-topic", 3).await?;
    place.create_group(NAME, &json!({})).await?;
    place.group_is_well(NAME).await?;
    let page = place.ledger()?;
    place.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    let group = place.group_says(NAME, "Paused", "PausedBySpec").await?;
    let [status, _, message] = condition(&group, "Paused");
    assert!(status == "True" && message.contains("goes on scaling"), "{message}");

    // Changed, deleted, out of date: nothing of it is put right.
    place.patch(SERVICE, NAME, &json!({"spec": {"selector": {"app": "other"}}})).await?;
    place.delete(DEPLOYMENT, NAME).await?;
    place.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 6}})).await?;
    place
        .patch(
            GROUP,
            NAME,
            &json!({"spec": {"averageRecordsLagLimit": 5, "consumerSpec": {"image": "example.com/new:1"}}}),
        )
        .await?;
    let group = place
        .sees(GROUP, NAME, "its status goes on", |group| {
            crate::objects::is_settled(group)
                && group["status"]["partitions"] == 6
                && group["status"]["replicas"] == 0
        })
        .await?;
    assert_eq!(condition(&group, "Paused")[0], "True");
    assert_eq!(page.children()?, [] as [String; 0]);

    place.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    place.group_is_well(NAME).await?;
    place.bounds_are(NAME, 1, 6).await?;
    assert_eq!(place.get(SERVICE, NAME).await?["spec"]["selector"]["app"], NAME);
    assert_eq!(
        place.get(DEPLOYMENT, NAME).await?["spec"]["template"]["spec"]["containers"][0]["image"],
        "example.com/new:1"
    );
    assert_eq!(
        page.children()?,
        ["deployments", "horizontalpodautoscalers", "prometheusrules", "services"],
        "one write each"
    );
    place.close().await
}

async fn group_that_begins_paused_gets_nothing_until_it_may(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "paused-fresh").await?;
    place.create_topic("fast-data-topic", 3).await?;
    let page = place.ledger()?;
    place.create_group(NAME, &json!({"paused": true})).await?;
    place.group_says(NAME, "Paused", "PausedBySpec").await?;
    assert_eq!(page.children()?, [] as [String; 0]);
    place.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    for kind in CHILDREN {
        place.sees(kind, NAME, "it is made", |_| true).await?;
    }
    place.group_is_well(NAME).await?;
    place.close().await
}
