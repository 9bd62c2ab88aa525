//! A kind that comes late, goes, and comes back in another version, while we run.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kcg_api::topic::{self, Partitions, TopicFacts};
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use kcg_runtime::{
    discovery::OptionalKind,
    watch::{Scope, Transform, WatchSpec, WatchState, Watcher},
};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Outcome,
    plane::{self, bare, count, counted, put},
    told::Told,
};

fn api(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kafka.strimzi.io", version, "KafkaTopic");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

fn topics(client: Client) -> Watcher<TopicFacts> {
    let kind = OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let decode = Transform::new(|topic: Value| TopicFacts::decode(&topic));
    Watcher::new(topic::PLURAL, client, WatchSpec::optional(kind, Scope::All), decode)
}

fn partitions(told: &Told<TopicFacts>, name: &str) -> Option<i32> {
    match told.facts.get(&format!("default/{name}"))?.partitions {
        Partitions::Known(count) => Some(count),
        _ => None,
    }
}

async fn install(plane: &ControlPlane, kafka_topic: KafkaTopicCrd) -> Result<(), kcg_devcluster::Error> {
    plane.install_crds(&Crds { kafka_topic, ..Crds::default() }).await
}

#[tokio::test]
async fn topics_are_followed_where_only_the_older_version_is_served() -> Outcome {
    let plane = bare(KafkaTopicCrd::V1beta2).await?;
    let (client, _) = counted(plane.kubeconfig_path()).await?;
    put(&api(&client, "v1beta2"), plane::topic("v1beta2", "orders", 3)).await?;
    let mut told = Told::by(topics(client.clone()));
    told.until("synced", |told| told.synced == 1).await;
    assert_eq!(
        (told.served.as_slice(), partitions(&told, "orders")),
        (["v1beta2".to_owned()].as_slice(), Some(3))
    );
    put(&api(&client, "v1beta2"), plane::topic("v1beta2", "orders", 5)).await?;
    told.until("grown", |told| partitions(told, "orders") == Some(5)).await;
    Ok(())
}

#[tokio::test]
async fn a_kind_may_come_late_go_and_come_back_in_a_better_version() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let (client, requests) = counted(plane.kubeconfig_path()).await?;
    let mut told = Told::by(topics(client.clone()));
    told.until("synced without the kind", |told| told.synced == 1).await;
    assert_eq!(told.states, [WatchState::NotServed]);
    assert!(told.health.synced() && told.health.age() < Duration::from_secs(5));
    assert_eq!(count(&requests, "list"), 0);

    let late = Instant::now();
    install(&plane, KafkaTopicCrd::V1beta2).await?;
    put(&api(&client, "v1beta2"), plane::topic("v1beta2", "orders", 3)).await?;
    told.until("followed", |told| partitions(told, "orders") == Some(3)).await;
    println!("a kind that came late was followed after {:.1} s", late.elapsed().as_secs_f32());
    assert_eq!(told.served, ["v1beta2"]);
    told.until("live", |told| told.states.last() == Some(&WatchState::Live)).await;

    let gone = Instant::now();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.delete("kafkatopics.kafka.strimzi.io", &DeleteParams::default()).await?;
    told.until("absent", |told| told.states.last() == Some(&WatchState::NotServed)).await;
    println!("a kind that went was missed after {:.1} s", gone.elapsed().as_secs_f32());
    assert!(told.health.synced());

    let back = Instant::now();
    install(&plane, KafkaTopicCrd::Both).await?;
    put(&api(&client, "v1"), plane::topic("v1", "payments", 7)).await?;
    told.until("followed again", |told| partitions(told, "payments") == Some(7)).await;
    println!("a kind that came back was followed after {:.1} s", back.elapsed().as_secs_f32());
    assert_eq!(told.served, ["v1beta2", "v1"]);
    told.until("the old topic gone", |told| told.deleted.contains(&"default/orders".to_owned())).await;
    Ok(())
}
