//! Where the ceiling comes from: topics that are late, several, elsewhere, or named otherwise in Kafka.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::objects::{AUTOSCALER, DEPLOYMENT, GROUP, TOPIC, assert_says, condition, topic};
use crate::place::{Place, refusal};
use crate::world::{GRANTED, World};

cases![
    group_without_its_topic_runs_its_minimum_until_the_topic_comes,
    topic_without_partitions_is_no_ceiling,
    several_topics_count_together_or_by_the_largest,
    topics_of_a_granted_namespace_are_followed,
    consumer_is_told_the_name_in_kafka,
    topic_of_many_groups_reaches_each_of_them,
];

const NAME: &str = "kconsumer";

async fn group_without_its_topic_runs_its_minimum_until_the_topic_comes(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topic-late").await?;
    let answer = place.kubectl_create(&crate::objects::group(NAME, &json!({"minReplicas": 2}))).await?;
    assert_eq!(
        answer.stderr,
        "Warning: minReplicas was not checked: KafkaTopic topic-late/fast-data-topic does not exist yet\n"
    );
    let group = place.group_says(NAME, "TopicsResolved", "TopicNotFound").await?;
    assert_eq!(condition(&group, "TopicsResolved")[0], "False");
    assert_says(&group["status"], &json!({"maxReplicas": 2}));
    assert!(group["status"]["partitions"].is_null());
    place.bounds_are(NAME, 2, 2).await?;
    place.sees(DEPLOYMENT, NAME, "two run", |seen| seen["status"]["readyReplicas"] == 2).await?;

    place.create_topic("fast-data-topic", 4).await?;
    place.bounds_are(NAME, 2, 4).await?;
    let group = place.group_says(NAME, "TopicsResolved", "Resolved").await?;
    assert_eq!((condition(&group, "TopicsResolved")[0], condition(&group, "Ready")[0]), ("True", "True"));
    place.close().await
}

async fn topic_without_partitions_is_no_ceiling(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topic-unset").await?;
    place.create(TOPIC, &topic("fast-data-topic", &json!({}))).await?;
    place.create_group(NAME, &json!({})).await?;
    place.group_says(NAME, "TopicsResolved", "PartitionsUnset").await?;
    place.bounds_are(NAME, 1, 1).await?;
    place.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 2}})).await?;
    place.bounds_are(NAME, 1, 2).await?;
    place.group_says(NAME, "TopicsResolved", "Resolved").await?;
    // Known once, it is held when the KafkaTopic no longer says it.
    place.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": null}})).await?;
    let group = place.group_says(NAME, "TopicsResolved", "PartitionsUnset").await?;
    assert_says(&group["status"], &json!({"partitions": 2, "maxReplicas": 2}));
    place.bounds_are(NAME, 1, 2).await?;
    place.close().await
}

async fn several_topics_count_together_or_by_the_largest(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topics-several").await?;
    place.create_topic("a", 3).await?;
    place.create_topic("b", 5).await?;
    let consumer = json!({"topic": "a", "topics": ["b", "a"]});
    place.create_group("sum", &json!({"consumerSpec": consumer})).await?;
    place.create_group("max", &json!({"consumerSpec": consumer, "scaling": {"partitions": "Max"}})).await?;
    place.bounds_are("sum", 1, 8).await?;
    place.bounds_are("max", 1, 5).await?;
    place.patch(TOPIC, "a", &json!({"spec": {"partitions": 7}})).await?;
    place.bounds_are("sum", 1, 12).await?;
    place.bounds_are("max", 1, 7).await?;
    // One that is missing stays as it was known; the others go on counting.
    place.delete(TOPIC, "a").await?;
    place.patch(TOPIC, "b", &json!({"spec": {"partitions": 9}})).await?;
    place.bounds_are("sum", 1, 16).await?;
    place
        .sees(GROUP, "sum", "it counts seven as last known and nine", |group| {
            let counts: Vec<&Value> = group["status"]["topics"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|topic| &topic["partitions"])
                .collect();
            counts == [7, 9] && condition(group, "TopicsResolved")[1] == "TopicNotFound"
        })
        .await?;
    place.close().await
}

async fn topics_of_a_granted_namespace_are_followed(world: Arc<World>) -> Result<()> {
    let (place, elsewhere) =
        (Place::open(&world, "topic-elsewhere").await?, Place::open(&world, GRANTED).await?);
    elsewhere.create_topic("shared", 3).await?;
    let consumer = json!({"topic": "shared", "topicNamespace": GRANTED});
    place.create_group(NAME, &json!({"consumerSpec": consumer})).await?;
    place.bounds_are(NAME, 1, 3).await?;
    elsewhere.patch(TOPIC, "shared", &json!({"spec": {"partitions": 4}})).await?;
    place.bounds_are(NAME, 1, 4).await?;
    let group = place.group_is_well(NAME).await?;
    assert_eq!(group["status"]["topics"][0]["namespace"], GRANTED);

    let refused = place
        .create_group("other", &json!({"consumerSpec": {"topic": "shared", "topicNamespace": "kube-public"}}))
        .await;
    let said = refusal(refused);
    let sentence = "spec.consumerSpec.topicNamespace: Forbidden: KafkaTopics of namespace kube-public may not be used from \
                    namespace topic-elsewhere: ask whoever installed the operator to start it with --topic-namespaces=kube-public";
    assert!(said.contains(sentence), "{said}");
    place.close().await
}

async fn consumer_is_told_the_name_in_kafka(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topic-renamed").await?;
    let told = |name: &'static str| {
        move |seen: &Value| {
            seen["spec"]["template"]["spec"]["containers"][0]["env"][0]
                == json!({"name": "KAFKA_TOPICS", "value": name})
        }
    };
    place
        .create(TOPIC, &topic("fast-data-topic", &json!({"partitions": 2, "topicName": "Fast_Data.Topic"})))
        .await?;
    place.create_group(NAME, &json!({})).await?;
    place.sees(DEPLOYMENT, NAME, "it is told Kafka's name", told("Fast_Data.Topic")).await?;
    // The name is kept while the KafkaTopic is away: another one would be another topic.
    place.delete(TOPIC, "fast-data-topic").await?;
    place.group_says(NAME, "TopicsResolved", "TopicNotFound").await?;
    place.sees(DEPLOYMENT, NAME, "it is still told Kafka's name", told("Fast_Data.Topic")).await?;
    place
        .create(TOPIC, &topic("fast-data-topic", &json!({"partitions": 2, "topicName": "Other_Topic"})))
        .await?;
    place.sees(DEPLOYMENT, NAME, "it is told the other name", told("Other_Topic")).await?;
    place.close().await
}

async fn topic_of_many_groups_reaches_each_of_them(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "topic-shared").await?;
    place.create_topic("fast-data-topic", 2).await?;
    place.create_topic("other", 2).await?;
    let groups = ["one", "two", "three"];
    for name in groups {
        place.create_group(name, &json!({})).await?;
    }
    place.create_group("apart", &json!({"consumerSpec": {"topic": "other"}})).await?;
    for name in groups.iter().chain(&["apart"]) {
        place.group_is_well(name).await?;
    }
    let page = place.ledger()?;
    place.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 5}})).await?;
    for name in groups {
        place.bounds_are(name, 1, 5).await?;
        place.sees(GROUP, name, "it says so", |group| group["status"]["partitions"] == 5).await?;
        assert_eq!(page.of_child(AUTOSCALER, name)?.len(), 1);
    }
    assert_eq!((page.of_child(AUTOSCALER, "apart")?.len(), page.statuses("apart")?.len()), (0, 0));
    place.close().await
}
