//! A ceiling is lowered only for a new topic, or if a user asks for it. Otherwise it is held.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, TOPIC, condition, is_observed, is_ready};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_shrunk_topic_is_held_and_the_cure_works,
    a_decrease_that_strimzi_refuses_has_no_effect,
    a_new_topic_with_the_same_name_lowers_the_ceiling,
    idle_consumers_of_a_new_topic_are_reported_until_they_are_gone,
    a_deleted_topic_is_held_even_if_the_autoscaler_is_deleted_too,
    a_user_lowers_and_raises_the_ceiling_at_once,
];

const NAME: &str = "kconsumer";
const TOPIC_NAME: &str = "fast-data-topic";

/// A group of a topic with five partitions.
async fn five(env: &Arc<SharedEnv>, namespace: &str) -> Result<Namespace> {
    let ns = env.namespace(namespace).await?;
    ns.create_topic(TOPIC_NAME, 5).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.bounds_are(NAME, 1, 5).await?;
    ns.group_is_ready(NAME).await?;
    Ok(ns)
}

fn partitions(count: i64) -> Value {
    json!({"spec": {"partitions": count}})
}

/// Removes the annotation with the held partitions, as the condition advises.
async fn forget(ns: &Namespace) -> Result<()> {
    let annotation = json!({"metadata": {"annotations": {"thenextapps.com/held-partitions": null}}});
    ns.patch(AUTOSCALER, NAME, &annotation).await.map(drop)
}

async fn a_shrunk_topic_is_held_and_the_cure_works(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-shrunk").await?;
    let audit = ns.audit()?;
    ns.patch(TOPIC, TOPIC_NAME, &partitions(2)).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "DecreaseHeld").await?;
    let [status, _, message] = condition(&group, "TopicsResolved");
    assert_eq!(status, "False");
    assert!(
        message.starts_with("KafkaTopic topic-shrunk/fast-data-topic has 2 partitions, fewer than before")
            && message.contains("remove the annotation thenextapps.com/held-partitions")
            && message.ends_with("the last known count of 5 partitions is kept"),
        "{message}"
    );
    assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(5), &json!(5)));
    assert_eq!(audit.of_child(AUTOSCALER, NAME)?.len(), 0);
    // The consumers keep running: only the ceiling is affected.
    assert_eq!(condition(&group, "Ready")[0], "True");

    forget(&ns).await?;
    ns.bounds_are(NAME, 1, 2).await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    ns.close().await
}

async fn a_decrease_that_strimzi_refuses_has_no_effect(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-refused").await?;
    let refused = |generation: &Value| {
        json!({"observedGeneration": generation, "topicId": "one", "conditions": [{
            "type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})
    };
    let topic = ns.patch(TOPIC, TOPIC_NAME, &partitions(2)).await?;
    ns.patch_status(TOPIC, TOPIC_NAME, &refused(&topic["metadata"]["generation"])).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicRefused").await?;
    assert!(condition(&group, "TopicsResolved")[2].contains("Decreasing partitions not supported"));
    ns.bounds_are(NAME, 1, 5).await?;
    // A refusal of an older generation does not apply to a later change.
    ns.patch(TOPIC, TOPIC_NAME, &partitions(7)).await?;
    ns.bounds_are(NAME, 1, 7).await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    ns.close().await
}

async fn a_new_topic_with_the_same_name_lowers_the_ceiling(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-recreated").await?;
    let created = |id: &str| json!({"topicId": id, "topicName": TOPIC_NAME});
    ns.patch_status(TOPIC, TOPIC_NAME, &created("one")).await?;
    ns.eventually(GROUP, NAME, "its id is known", |group| group["status"]["topics"][0]["topicId"] == "one")
        .await?;
    ns.delete(TOPIC, TOPIC_NAME).await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    // The topic id is unknown until Strimzi reports it.
    ns.create_topic(TOPIC_NAME, 2).await?;
    ns.condition_is(NAME, "TopicsResolved", "DecreaseHeld").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    ns.patch_status(TOPIC, TOPIC_NAME, &created("two")).await?;
    ns.bounds_are(NAME, 1, 2).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    assert_eq!(group["status"]["topics"][0]["topicId"], "two");
    ns.close().await
}

/// The autoscaler of a paused group is not modified, so consumers without a partition of the
/// smaller topic keep running.
async fn idle_consumers_of_a_new_topic_are_reported_until_they_are_gone(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-idle").await?;
    ns.create_topic(TOPIC_NAME, 3).await?;
    ns.patch_status(TOPIC, TOPIC_NAME, &json!({"topicId": "one"})).await?;
    ns.create_group(NAME, &json!({"minReplicas": 3})).await?;
    ns.eventually(GROUP, NAME, "its three consumers and its topic's id are known", |group| {
        is_ready(group, "True", "Reconciled")
            && group["status"]["readyReplicas"] == 3
            && group["status"]["topics"][0]["topicId"] == "one"
    })
    .await?;
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    ns.condition_is(NAME, "Paused", "PausedBySpec").await?;

    ns.delete(TOPIC, TOPIC_NAME).await?;
    ns.create_topic(TOPIC_NAME, 1).await?;
    ns.patch_status(TOPIC, TOPIC_NAME, &json!({"topicId": "two"})).await?;
    let group = ns.group_is(NAME, "True", "IdleConsumers").await?;
    assert_eq!(
        condition(&group, "Ready")[2],
        "3 consumers run, but the partitions (1) keep only 1 busy (2 idle); the paused group's \
         HorizontalPodAutoscaler still allows 3: set spec.paused to false"
    );
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    let group = ns.group_is(NAME, "True", "MinAboveCeiling").await?;
    assert_eq!(group["status"]["maxReplicas"], 1);
    ns.eventually(GROUP, NAME, "one consumer is left", |group| group["status"]["replicas"] == 1).await?;
    ns.close().await
}

async fn a_deleted_topic_is_held_even_if_the_autoscaler_is_deleted_too(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-deleted").await?;
    let audit = ns.audit()?;
    ns.delete(TOPIC, TOPIC_NAME).await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    assert_eq!((audit.of_child(AUTOSCALER, NAME)?.len(), audit.of_child(DEPLOYMENT, NAME)?.len()), (0, 0));

    let before = ns.get(AUTOSCALER, NAME).await?["metadata"]["uid"].clone();
    ns.delete(AUTOSCALER, NAME).await?;
    let recreated = ns
        .eventually(AUTOSCALER, NAME, "it is a new object", |seen| seen["metadata"]["uid"] != before)
        .await?;
    assert_eq!(recreated["spec"]["maxReplicas"], 5);
    // A forged status has no effect: the held partitions are read from the autoscaler.
    ns.patch_status(GROUP, NAME, &json!({"partitions": 50, "maxReplicas": 50})).await?;
    ns.patch(GROUP, NAME, &json!({"spec": {"averageRecordsLagLimit": 7}})).await?;
    ns.eventually(GROUP, NAME, "its status is corrected", |group| {
        is_observed(group) && group["status"]["maxReplicas"] == 5
    })
    .await?;
    ns.bounds_are(NAME, 1, 5).await?;
    ns.close().await
}

async fn a_user_lowers_and_raises_the_ceiling_at_once(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-lowered").await?;
    ns.create_topic("small", 2).await?;
    for (spec, max) in [
        (json!({"maxReplicas": 3}), 3),
        (json!({"maxReplicas": null}), 5),
        (json!({"consumerSpec": {"partitionsPerConsumer": 2}}), 3),
        (json!({"consumerSpec": {"partitionsPerConsumer": 1}}), 5),
        (json!({"consumerSpec": {"topic": "small"}}), 2),
        (json!({"consumerSpec": {"topic": TOPIC_NAME}}), 5),
    ] {
        ns.patch(GROUP, NAME, &json!({"spec": spec})).await?;
        ns.bounds_are(NAME, 1, max).await?;
        let group = ns.eventually(GROUP, NAME, "it is settled", is_observed).await?;
        assert_eq!(condition(&group, "TopicsResolved")[0], "True", "{spec}");
    }
    ns.close().await
}
