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
    an_increase_counts_when_it_is_confirmed_and_a_slip_is_corrected,
    an_increase_counts_if_only_the_replication_factor_is_rejected,
    a_paused_or_unmanaged_topic_keeps_its_confirmed_count,
    a_rejected_name_moves_no_consumer,
    a_new_topic_with_the_same_name_lowers_the_ceiling,
    idle_consumers_of_a_new_topic_are_reported_until_they_are_gone,
    a_deleted_topic_is_held_even_if_the_autoscaler_is_deleted_too,
    a_user_lowers_and_raises_the_ceiling_at_once,
];

const NAME: &str = "kconsumer";
const TOPIC_NAME: &str = "fast-data-topic";

/// A group of a topic with five partitions, which Strimzi has confirmed.
async fn five(env: &Arc<SharedEnv>, namespace: &str) -> Result<Namespace> {
    let ns = env.namespace(namespace).await?;
    ns.create_topic(TOPIC_NAME, 5).await?;
    ns.confirm_topic(TOPIC_NAME, "one").await?;
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
    ns.confirm_topic(TOPIC_NAME, "one").await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    ns.close().await
}

async fn a_decrease_that_strimzi_refuses_has_no_effect(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-refused").await?;
    ns.patch(TOPIC, TOPIC_NAME, &partitions(2)).await?;
    ns.fail_topic(TOPIC_NAME, "NotSupported", "Decreasing partitions not supported").await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicRefused").await?;
    assert!(condition(&group, "TopicsResolved")[2].contains("Decreasing partitions not supported"));
    ns.bounds_are(NAME, 1, 5).await?;
    // A refusal of an older generation does not apply to a later change.
    ns.patch(TOPIC, TOPIC_NAME, &partitions(7)).await?;
    ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    ns.confirm_topic(TOPIC_NAME, "one").await?;
    ns.bounds_are(NAME, 1, 7).await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    ns.close().await
}

async fn an_increase_counts_when_it_is_confirmed_and_a_slip_is_corrected(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-slip").await?;
    let audit = ns.audit()?;
    ns.patch(TOPIC, TOPIC_NAME, &partitions(500)).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    assert_eq!(condition(&group, "TopicsResolved")[0], "Unknown");
    ns.fail_topic(TOPIC_NAME, "KafkaError", "PolicyViolationException: too many partitions").await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicNotReady").await?;
    let message = condition(&group, "TopicsResolved")[2];
    assert!(message.contains("too many partitions") && !message.contains("correct"), "{message}");
    ns.patch(TOPIC, TOPIC_NAME, &partitions(5)).await?;
    ns.confirm_topic(TOPIC_NAME, "one").await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    assert_eq!(audit.of_child(AUTOSCALER, NAME)?.len(), 0);
    ns.patch(TOPIC, TOPIC_NAME, &partitions(6)).await?;
    ns.confirm_topic(TOPIC_NAME, "one").await?;
    ns.bounds_are(NAME, 1, 6).await?;
    ns.close().await
}

async fn an_increase_counts_if_only_the_replication_factor_is_rejected(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-replicas").await?;
    ns.patch(TOPIC, TOPIC_NAME, &json!({"spec": {"partitions": 8, "replicas": 2}})).await?;
    ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    let words = "Replication factor change not supported, but required for partitions [0, 1, 2, 3, 4]";
    ns.fail_topic(TOPIC_NAME, "NotSupported", words).await?;
    ns.bounds_are(NAME, 1, 8).await?;
    // The count is confirmed, so it is held.
    ns.patch(TOPIC, TOPIC_NAME, &partitions(5)).await?;
    ns.fail_topic(TOPIC_NAME, "NotSupported", "Decreasing partitions not supported").await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicRefused").await?;
    ns.bounds_are(NAME, 1, 8).await?;
    ns.close().await
}

async fn a_paused_or_unmanaged_topic_keeps_its_confirmed_count(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-paused").await?;
    let annotate = |name: &str, value: Value| json!({"metadata": {"annotations": {name: value}}});
    for (annotation, value, type_, reason) in [
        ("strimzi.io/pause-reconciliation", "true", "ReconciliationPaused", "TopicPaused"),
        ("strimzi.io/managed", "false", "Unmanaged", "TopicUnmanaged"),
    ] {
        ns.patch(TOPIC, TOPIC_NAME, &annotate(annotation, json!(value))).await?;
        ns.patch(TOPIC, TOPIC_NAME, &partitions(12)).await?;
        let reported = json!({"type": type_, "status": "True"});
        ns.report_topic(TOPIC_NAME, reported, &json!({"topicId": null})).await?;
        let group = ns.condition_is(NAME, "TopicsResolved", reason).await?;
        assert!(condition(&group, "TopicsResolved")[2].contains(annotation));
        assert_eq!(group["status"]["maxReplicas"], 5);
        ns.bounds_are(NAME, 1, 5).await?;
        ns.patch(TOPIC, TOPIC_NAME, &annotate(annotation, Value::Null)).await?;
        ns.patch(TOPIC, TOPIC_NAME, &partitions(5)).await?;
        ns.confirm_topic(TOPIC_NAME, "one").await?;
        ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    }
    ns.close().await
}

async fn a_rejected_name_moves_no_consumer(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-moved").await?;
    let audit = ns.audit()?;
    ns.patch(TOPIC, TOPIC_NAME, &json!({"spec": {"topicName": "Orders_V2"}})).await?;
    ns.fail_topic(TOPIC_NAME, "NotSupported", "Changing spec.topicName is not supported").await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicRefused").await?;
    assert_eq!(group["status"]["topics"][0]["topicName"], TOPIC_NAME);
    assert_eq!(audit.of_child(DEPLOYMENT, NAME)?.len(), 0);
    ns.close().await
}

async fn a_new_topic_with_the_same_name_lowers_the_ceiling(env: Arc<SharedEnv>) -> Result<()> {
    let ns = five(&env, "topic-recreated").await?;
    ns.eventually(GROUP, NAME, "its id is known", |group| group["status"]["topics"][0]["topicId"] == "one")
        .await?;
    ns.delete(TOPIC, TOPIC_NAME).await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    // The topic id is unknown until Strimzi reports it.
    ns.create_topic(TOPIC_NAME, 2).await?;
    ns.condition_is(NAME, "TopicsResolved", "DecreaseHeld").await?;
    ns.bounds_are(NAME, 1, 5).await?;
    ns.confirm_topic(TOPIC_NAME, "two").await?;
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
    ns.confirm_topic(TOPIC_NAME, "one").await?;
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
    ns.confirm_topic(TOPIC_NAME, "two").await?;
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
