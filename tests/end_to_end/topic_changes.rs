//! A ceiling falls only for a reason: a new topic, or a person's word. Everything else is held.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::objects::{AUTOSCALER, DEPLOYMENT, GROUP, TOPIC, condition, is_ready, is_settled};
use crate::place::Place;
use crate::world::World;

cases![
    shrunk_topic_is_held_and_the_cure_works,
    decrease_that_strimzi_refuses_changes_nothing,
    new_topic_of_the_same_name_lowers_the_ceiling,
    consumers_that_a_new_topic_leaves_idle_are_told_until_they_go,
    deleted_topic_is_held_even_when_the_autoscaler_goes_too,
    person_lowers_and_raises_the_ceiling_at_once,
];

const NAME: &str = "kconsumer";
const TOPIC_NAME: &str = "fast-data-topic";

/// A group of a topic with five partitions.
async fn five(world: &Arc<World>, namespace: &str) -> Result<Place> {
    let place = Place::open(world, namespace).await?;
    place.create_topic(TOPIC_NAME, 5).await?;
    place.create_group(NAME, &json!({})).await?;
    place.bounds_are(NAME, 1, 5).await?;
    place.group_is_well(NAME).await?;
    Ok(place)
}

fn partitions(count: i64) -> Value {
    json!({"spec": {"partitions": count}})
}

/// Writes the annotation away that holds the counts, as the condition says.
async fn forget(place: &Place) -> Result<()> {
    let annotation = json!({"metadata": {"annotations": {"thenextapps.com/held-partitions": null}}});
    place.patch(AUTOSCALER, NAME, &annotation).await.map(drop)
}

async fn shrunk_topic_is_held_and_the_cure_works(world: Arc<World>) -> Result<()> {
    let place = five(&world, "topic-shrunk").await?;
    let page = place.ledger()?;
    place.patch(TOPIC, TOPIC_NAME, &partitions(2)).await?;
    let group = place.group_says(NAME, "TopicsResolved", "DecreaseHeld").await?;
    let [status, _, message] = condition(&group, "TopicsResolved");
    assert_eq!(status, "False");
    assert!(
        message.starts_with("KafkaTopic topic-shrunk/fast-data-topic states 2 partitions, fewer than before")
            && message.contains("remove the annotation thenextapps.com/held-partitions")
            && message.ends_with("holding at 5 partitions"),
        "{message}"
    );
    assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(5), &json!(5)));
    assert_eq!(page.of_child(AUTOSCALER, NAME)?.len(), 0);
    // The consumers go on: it is the ceiling's matter, not theirs.
    assert_eq!(condition(&group, "Ready")[0], "True");

    forget(&place).await?;
    place.bounds_are(NAME, 1, 2).await?;
    place.group_says(NAME, "TopicsResolved", "Resolved").await?;
    place.close().await
}

async fn decrease_that_strimzi_refuses_changes_nothing(world: Arc<World>) -> Result<()> {
    let place = five(&world, "topic-refused").await?;
    let refused = |generation: &Value| {
        json!({"observedGeneration": generation, "topicId": "one", "conditions": [{
            "type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})
    };
    let topic = place.patch(TOPIC, TOPIC_NAME, &partitions(2)).await?;
    place.report(TOPIC, TOPIC_NAME, &refused(&topic["metadata"]["generation"])).await?;
    let group = place.group_says(NAME, "TopicsResolved", "TopicRefused").await?;
    assert!(condition(&group, "TopicsResolved")[2].contains("Decreasing partitions not supported"));
    place.bounds_are(NAME, 1, 5).await?;
    // A refusal of an older generation does not hold against a later word.
    place.patch(TOPIC, TOPIC_NAME, &partitions(7)).await?;
    place.bounds_are(NAME, 1, 7).await?;
    place.group_says(NAME, "TopicsResolved", "Resolved").await?;
    place.close().await
}

async fn new_topic_of_the_same_name_lowers_the_ceiling(world: Arc<World>) -> Result<()> {
    let place = five(&world, "topic-recreated").await?;
    let created = |id: &str| json!({"topicId": id, "topicName": TOPIC_NAME});
    place.report(TOPIC, TOPIC_NAME, &created("one")).await?;
    place
        .sees(GROUP, NAME, "its id is known", |group| group["status"]["topics"][0]["topicId"] == "one")
        .await?;
    place.delete(TOPIC, TOPIC_NAME).await?;
    place.group_says(NAME, "TopicsResolved", "TopicNotFound").await?;
    place.bounds_are(NAME, 1, 5).await?;
    // Until Strimzi has said that it is another topic, nobody knows.
    place.create_topic(TOPIC_NAME, 2).await?;
    place.group_says(NAME, "TopicsResolved", "DecreaseHeld").await?;
    place.bounds_are(NAME, 1, 5).await?;
    place.report(TOPIC, TOPIC_NAME, &created("two")).await?;
    place.bounds_are(NAME, 1, 2).await?;
    let group = place.group_says(NAME, "TopicsResolved", "Resolved").await?;
    assert_eq!(group["status"]["topics"][0]["topicId"], "two");
    place.close().await
}

/// A paused group's autoscaler is left as it is, and so are the consumers that a smaller topic has no work for.
async fn consumers_that_a_new_topic_leaves_idle_are_told_until_they_go(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topic-idle").await?;
    place.create_topic(TOPIC_NAME, 3).await?;
    place.report(TOPIC, TOPIC_NAME, &json!({"topicId": "one"})).await?;
    place.create_group(NAME, &json!({"minReplicas": 3})).await?;
    place
        .sees(GROUP, NAME, "its three consumers and its topic's id are known", |group| {
            is_ready(group, "True", "Reconciled")
                && group["status"]["readyReplicas"] == 3
                && group["status"]["topics"][0]["topicId"] == "one"
        })
        .await?;
    place.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    place.group_says(NAME, "Paused", "PausedBySpec").await?;

    place.delete(TOPIC, TOPIC_NAME).await?;
    place.create_topic(TOPIC_NAME, 1).await?;
    place.report(TOPIC, TOPIC_NAME, &json!({"topicId": "two"})).await?;
    let group = place.group_is(NAME, "True", "IdleConsumers").await?;
    assert_eq!(
        condition(&group, "Ready")[2],
        "3 consumers run, of which the partitions (1) keep 1 busy: 2 do nothing; the paused group's \
         HorizontalPodAutoscaler still allows 3: set spec.paused to false"
    );
    place.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    let group = place.group_is(NAME, "True", "MinAboveCeiling").await?;
    assert_eq!(group["status"]["maxReplicas"], 1);
    place.sees(GROUP, NAME, "one consumer is left", |group| group["status"]["replicas"] == 1).await?;
    place.close().await
}

async fn deleted_topic_is_held_even_when_the_autoscaler_goes_too(world: Arc<World>) -> Result<()> {
    let place = five(&world, "topic-deleted").await?;
    let page = place.ledger()?;
    place.delete(TOPIC, TOPIC_NAME).await?;
    place.group_says(NAME, "TopicsResolved", "TopicNotFound").await?;
    place.bounds_are(NAME, 1, 5).await?;
    assert_eq!((page.of_child(AUTOSCALER, NAME)?.len(), page.of_child(DEPLOYMENT, NAME)?.len()), (0, 0));

    let before = place.get(AUTOSCALER, NAME).await?["metadata"]["uid"].clone();
    place.delete(AUTOSCALER, NAME).await?;
    let anew =
        place.sees(AUTOSCALER, NAME, "it is another one", |seen| seen["metadata"]["uid"] != before).await?;
    assert_eq!(anew["spec"]["maxReplicas"], 5);
    // A status that somebody forges changes nothing: what is held stands on the autoscaler.
    place.report(GROUP, NAME, &json!({"partitions": 50, "maxReplicas": 50})).await?;
    place.patch(GROUP, NAME, &json!({"spec": {"averageRecordsLagLimit": 7}})).await?;
    place
        .sees(GROUP, NAME, "its status is put right", |group| {
            is_settled(group) && group["status"]["maxReplicas"] == 5
        })
        .await?;
    place.bounds_are(NAME, 1, 5).await?;
    place.close().await
}

async fn person_lowers_and_raises_the_ceiling_at_once(world: Arc<World>) -> Result<()> {
    let place = five(&world, "topic-lowered").await?;
    place.create_topic("small", 2).await?;
    for (spec, max) in [
        (json!({"maxReplicas": 3}), 3),
        (json!({"maxReplicas": null}), 5),
        (json!({"consumerSpec": {"partitionsPerConsumer": 2}}), 3),
        (json!({"consumerSpec": {"partitionsPerConsumer": 1}}), 5),
        (json!({"consumerSpec": {"topic": "small"}}), 2),
        (json!({"consumerSpec": {"topic": TOPIC_NAME}}), 5),
    ] {
        place.patch(GROUP, NAME, &json!({"spec": spec})).await?;
        place.bounds_are(NAME, 1, max).await?;
        let group = place.sees(GROUP, NAME, "it is settled", is_settled).await?;
        assert_eq!(condition(&group, "TopicsResolved")[0], "True", "{spec}");
    }
    place.close().await
}
