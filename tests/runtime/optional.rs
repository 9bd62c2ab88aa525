//! A kind that is installed, removed and reinstalled in another version while a watcher runs.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kcg_api::topic::{self, Partitions, TopicFacts};
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use kcg_runtime::discovery::OptionalKind;
use kcg_runtime::watch::{Scope, Transform, WatchSpec, WatchState, Watcher};
use kcg_tests::Outcome;
use kube::api::{DeleteParams, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::Instant;

use crate::events::RecordedEvents;
use crate::requests::{self, apply, count, counting_client, server};

fn api(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kafka.strimzi.io", version, "KafkaTopic");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

fn topics(client: Client) -> Watcher<TopicFacts> {
    let kind = OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let decode = Transform::new(|topic: Value| TopicFacts::decode(&topic));
    Watcher::new(topic::PLURAL, client, WatchSpec::optional(kind, Scope::All), decode)
}

fn partitions(events: &RecordedEvents<TopicFacts>, name: &str) -> Option<i32> {
    match events.facts.get(&format!("default/{name}"))?.partitions {
        Partitions::Known(count) => Some(count),
        _ => None,
    }
}

async fn install(plane: &ControlPlane, kafka_topic: KafkaTopicCrd) -> Result<(), kcg_devcluster::Error> {
    plane.install_crds(&Crds { kafka_topic, ..Crds::default() }).await
}

#[tokio::test]
async fn topics_are_watched_if_only_the_older_version_is_served() -> Outcome {
    let plane = server(KafkaTopicCrd::V1beta2).await?;
    let (client, _) = counting_client(plane.kubeconfig_path()).await?;
    apply(&api(&client, "v1beta2"), requests::topic("v1beta2", "orders", 3)).await?;
    let mut events = RecordedEvents::of(topics(client.clone()));
    events.until("synced", |events| events.synced == 1).await;
    assert_eq!(
        (events.served.as_slice(), partitions(&events, "orders")),
        (["v1beta2".to_owned()].as_slice(), Some(3))
    );
    apply(&api(&client, "v1beta2"), requests::topic("v1beta2", "orders", 5)).await?;
    events.until("grown", |events| partitions(events, "orders") == Some(5)).await;
    Ok(())
}

#[tokio::test]
async fn a_kind_may_be_installed_late_removed_and_reinstalled_in_a_newer_version() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let (client, requests) = counting_client(plane.kubeconfig_path()).await?;
    let mut events = RecordedEvents::of(topics(client.clone()));
    events.until("synced without the kind", |events| events.synced == 1).await;
    assert_eq!(events.states, [WatchState::NotServed]);
    assert!(events.health.synced() && events.health.age() < Duration::from_secs(5));
    assert_eq!(count(&requests, "list"), 0);

    let late = Instant::now();
    install(&plane, KafkaTopicCrd::V1beta2).await?;
    apply(&api(&client, "v1beta2"), requests::topic("v1beta2", "orders", 3)).await?;
    events.until("followed", |events| partitions(events, "orders") == Some(3)).await;
    println!("a kind that was installed late was watched after {:.1} s", late.elapsed().as_secs_f32());
    assert_eq!(events.served, ["v1beta2"]);
    events.until("live", |events| events.states.last() == Some(&WatchState::Live)).await;

    let gone = Instant::now();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.delete("kafkatopics.kafka.strimzi.io", &DeleteParams::default()).await?;
    events.until("absent", |events| events.states.last() == Some(&WatchState::NotServed)).await;
    println!("a removed kind was noticed after {:.1} s", gone.elapsed().as_secs_f32());
    assert!(events.health.synced());

    let back = Instant::now();
    install(&plane, KafkaTopicCrd::Both).await?;
    apply(&api(&client, "v1"), requests::topic("v1", "payments", 7)).await?;
    events.until("followed again", |events| partitions(events, "payments") == Some(7)).await;
    println!("a reinstalled kind was watched after {:.1} s", back.elapsed().as_secs_f32());
    assert_eq!(events.served, ["v1beta2", "v1"]);
    events.until("the old topic gone", |events| events.deleted.contains(&"default/orders".to_owned())).await;
    Ok(())
}
