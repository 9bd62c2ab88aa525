//! The sources of the ceiling: topics that are created late, several topics, topics of another
//! namespace, and topics with another name in Kafka.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kcg_tests::namespace::refusal;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, TOPIC, assert_contains, condition, topic};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::{GRANTED, SharedEnv};

cases![
    a_new_group_waits_for_its_topic_and_runs_its_minimum_after_a_minute,
    a_group_whose_topic_is_created_after_it_starts_with_the_topic,
    two_kafkatopics_of_one_topic_count_once,
    a_topic_without_a_partition_number_sets_no_ceiling,
    several_topics_count_by_their_sum_or_their_maximum,
    topics_of_a_granted_namespace_are_watched,
    the_consumer_gets_the_name_in_kafka,
    a_change_of_a_topic_reaches_all_its_groups,
];

const NAME: &str = "kconsumer";

async fn a_new_group_waits_for_its_topic_and_runs_its_minimum_after_a_minute(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace("topic-late").await?;
    let answer = ns.kubectl_create(&kcg_tests::objects::group(NAME, &json!({"minReplicas": 2}))).await?;
    assert_eq!(
        answer.stderr,
        "Warning: minReplicas was not checked: KafkaTopic topic-late/fast-data-topic does not exist yet\n"
    );
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    assert_eq!(condition(&group, "TopicsResolved")[0], "False");
    assert_contains(&group["status"], &json!({"maxReplicas": 2}));
    assert!(group["status"]["partitions"].is_null());
    ns.bounds_are(NAME, 2, 2).await?;
    let group = ns.group_is(NAME, "False", "TopicNotFound").await?;
    assert_eq!(
        condition(&group, "Ready")[2],
        "Deployment kconsumer is created when these KafkaTopics exist, or 60 s after the group: \
         topic-late/fast-data-topic"
    );
    let patient = ns.within(Duration::from_secs(90));
    let runs =
        patient.eventually(DEPLOYMENT, NAME, "two run", |seen| seen["status"]["readyReplicas"] == 2).await?;
    let waited = created(&runs)?.duration_since(created(&group)?);
    assert!(waited >= SignedDuration::from_secs(60), "{waited}");

    ns.create_topic("fast-data-topic", 4).await?;
    ns.bounds_are(NAME, 2, 4).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    assert_eq!(condition(&group, "TopicsResolved")[0], "True");
    ns.confirm_topic("fast-data-topic", "one").await?;
    ns.condition_is(NAME, "TopicsResolved", "Resolved").await?;
    ns.close().await
}

fn created(object: &Value) -> Result<Timestamp> {
    Ok(object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().parse()?)
}

async fn a_group_whose_topic_is_created_after_it_starts_with_the_topic(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-second").await?;
    ns.create_group(NAME, &json!({"consumerSpec": {"topics": ["later"]}})).await?;
    ns.create_topic("fast-data-topic", 2).await?;
    ns.bounds_are(NAME, 1, 2).await?;
    let waits = |group: &Value| condition(group, "Ready")[2].ends_with(": topic-second/later");
    ns.eventually(GROUP, NAME, "it waits for the other one", waits).await?;
    ns.create_object(TOPIC, &topic("later", &json!({"partitions": 2, "topicName": "Later"}))).await?;
    let deployment = ns.exists(DEPLOYMENT, NAME).await?;
    let variable = &deployment["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(*variable, json!({"name": "KAFKA_TOPICS", "value": "fast-data-topic,Later"}));
    assert_eq!(deployment["metadata"]["generation"], 1);
    ns.close().await
}

async fn two_kafkatopics_of_one_topic_count_once(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-twice").await?;
    for name in ["one", "two"] {
        ns.create_object(TOPIC, &topic(name, &json!({"partitions": 6, "topicName": "shop.orders"}))).await?;
    }
    ns.confirm_topic("one", "id").await?;
    let consumer = json!({"topic": "one", "topics": ["two"]});
    ns.create_group(NAME, &json!({"consumerSpec": consumer, "scaling": {"partitions": "Sum"}})).await?;
    ns.bounds_are(NAME, 1, 6).await?;
    ns.fail_topic("two", "ResourceConflict", "Managed by Ref{namespace='topic-twice', name='one'}").await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "TopicRefused").await?;
    let message = condition(&group, "TopicsResolved")[2];
    assert!(
        message.contains("KafkaTopics topic-twice/one and topic-twice/two are the same topic shop.orders"),
        "{message}"
    );
    ns.bounds_are(NAME, 1, 6).await?;
    let deployment = ns.exists(DEPLOYMENT, NAME).await?;
    let variable = &deployment["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["value"], "shop.orders");
    ns.close().await
}

async fn a_topic_without_a_partition_number_sets_no_ceiling(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-unset").await?;
    ns.create_object(TOPIC, &topic("fast-data-topic", &json!({}))).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.condition_is(NAME, "TopicsResolved", "PartitionsUnset").await?;
    ns.bounds_are(NAME, 1, 1).await?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 2}})).await?;
    ns.bounds_are(NAME, 1, 2).await?;
    ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    // A known number is held if the KafkaTopic does not specify it any longer.
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": null}})).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "PartitionsUnset").await?;
    assert_contains(&group["status"], &json!({"partitions": 2, "maxReplicas": 2}));
    ns.bounds_are(NAME, 1, 2).await?;
    ns.close().await
}

async fn several_topics_count_by_their_sum_or_their_maximum(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topics-several").await?;
    ns.create_topic("a", 3).await?;
    ns.create_topic("b", 5).await?;
    let consumer = json!({"topic": "a", "topics": ["b", "a"]});
    ns.create_group("sum", &json!({"consumerSpec": consumer, "scaling": {"partitions": "Sum"}})).await?;
    // The default.
    ns.create_group("max", &json!({"consumerSpec": consumer})).await?;
    ns.bounds_are("sum", 1, 8).await?;
    ns.bounds_are("max", 1, 5).await?;
    ns.patch(TOPIC, "a", &json!({"spec": {"partitions": 7}})).await?;
    ns.bounds_are("sum", 1, 12).await?;
    ns.bounds_are("max", 1, 7).await?;
    // A missing topic counts with its last known partitions; the others are not affected.
    ns.delete(TOPIC, "a").await?;
    ns.patch(TOPIC, "b", &json!({"spec": {"partitions": 9}})).await?;
    ns.bounds_are("sum", 1, 16).await?;
    ns.eventually(GROUP, "sum", "it counts seven as last known and nine", |group| {
        let counts: Vec<&Value> = group["status"]["topics"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|topic| &topic["partitions"])
            .collect();
        counts == [7, 9] && condition(group, "TopicsResolved")[1] == "TopicNotFound"
    })
    .await?;
    ns.close().await
}

async fn topics_of_a_granted_namespace_are_watched(env: Arc<SharedEnv>) -> Result<()> {
    let (ns, elsewhere) = (env.namespace("topic-elsewhere").await?, env.namespace(GRANTED).await?);
    elsewhere.create_topic("shared", 3).await?;
    let consumer = json!({"topic": "shared", "topicNamespace": GRANTED});
    ns.create_group(NAME, &json!({"consumerSpec": consumer})).await?;
    ns.bounds_are(NAME, 1, 3).await?;
    elsewhere.patch(TOPIC, "shared", &json!({"spec": {"partitions": 4}})).await?;
    ns.bounds_are(NAME, 1, 4).await?;
    let group = ns.group_is_ready(NAME).await?;
    assert_eq!(group["status"]["topics"][0]["namespace"], GRANTED);

    // The default groupId is the name, so these two share the partitions of one topic.
    elsewhere.create_group(NAME, &json!({"consumerSpec": {"topic": "shared"}})).await?;
    for (namespace, other) in [(&ns, GRANTED), (&elsewhere, "topic-elsewhere")] {
        let group = namespace.group_is(NAME, "False", "GroupIdShared").await?;
        let message = condition(&group, "Ready")[2];
        assert!(message.starts_with("a group in another namespace consumes"), "{message}");
        assert!(!message.contains(other), "a group of {} reads {message}", namespace.name);
    }
    elsewhere.delete(GROUP, NAME).await?;
    ns.group_is_ready(NAME).await?;

    let refused = ns
        .create_group("other", &json!({"consumerSpec": {"topic": "shared", "topicNamespace": "kube-public"}}))
        .await;
    let message = refusal(refused);
    let sentence = "spec.consumerSpec.topicNamespace: Forbidden: KafkaTopics of namespace kube-public may not be used from \
                    namespace topic-elsewhere: to allow it, start the operator with --topic-namespaces=kube-public";
    assert!(message.contains(sentence), "{message}");
    ns.close().await
}

async fn the_consumer_gets_the_name_in_kafka(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-renamed").await?;
    let has_topic = |name: &'static str| {
        move |seen: &Value| {
            seen["spec"]["template"]["spec"]["containers"][0]["env"][0]
                == json!({"name": "KAFKA_TOPICS", "value": name})
        }
    };
    ns.create_object(
        TOPIC,
        &topic("fast-data-topic", &json!({"partitions": 2, "topicName": "Fast_Data.Topic"})),
    )
    .await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.eventually(DEPLOYMENT, NAME, "it has the name in Kafka", has_topic("Fast_Data.Topic")).await?;
    // The name is kept while the KafkaTopic does not exist: another name would be another topic.
    ns.delete(TOPIC, "fast-data-topic").await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    ns.eventually(DEPLOYMENT, NAME, "it still has the name in Kafka", has_topic("Fast_Data.Topic")).await?;
    ns.create_object(TOPIC, &topic("fast-data-topic", &json!({"partitions": 2, "topicName": "Other_Topic"})))
        .await?;
    ns.eventually(DEPLOYMENT, NAME, "it has the other name", has_topic("Other_Topic")).await?;
    ns.close().await
}

async fn a_change_of_a_topic_reaches_all_its_groups(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("topic-shared").await?;
    ns.create_topic("fast-data-topic", 2).await?;
    ns.create_topic("other", 2).await?;
    let groups = ["one", "two", "three"];
    for name in groups {
        ns.create_group(name, &json!({})).await?;
    }
    ns.create_group("apart", &json!({"consumerSpec": {"topic": "other"}})).await?;
    for name in groups.iter().chain(&["apart"]) {
        ns.group_is_ready(name).await?;
    }
    let audit = ns.audit()?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 5}})).await?;
    for name in groups {
        ns.bounds_are(name, 1, 5).await?;
        ns.eventually(GROUP, name, "its status to report 5 partitions", |group| {
            group["status"]["partitions"] == 5
        })
        .await?;
        assert_eq!(audit.of_child(AUTOSCALER, name)?.len(), 1);
    }
    assert_eq!((audit.of_child(AUTOSCALER, "apart")?.len(), audit.statuses("apart")?.len()), (0, 0));
    ns.close().await
}
