//! A watch tells what happens, and what happened while it could not look.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kcg_devcluster::KafkaTopicCrd;
use kcg_runtime::watch::{Scope, Transform, WatchSpec, WatchState, Watcher};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    Outcome,
    plane::{bare, config_map, count, counted, delete_config_map, in_default, put},
    told::Told,
    wire::{Mode, Wire},
};

/// The shape that an object must have here.
#[derive(Deserialize)]
struct Counted {
    data: Count,
}

#[derive(Deserialize)]
struct Count {
    count: String,
}

fn counts(client: &Client, scope: Scope) -> Watcher<String> {
    of(client, WatchSpec::typed::<ConfigMap>(scope).labels("follow=me"))
}

fn of(client: &Client, source: WatchSpec) -> Watcher<String> {
    Watcher::new("configmaps", client.clone(), source, Transform::new(|object: Counted| object.data.count))
}

fn facts(told: &Told<String>) -> Vec<(&str, &str)> {
    told.facts.iter().map(|(key, count)| (key.as_str(), count.as_str())).collect()
}

fn state(told: &Told<String>) -> WatchState {
    told.health.in_namespace("default").expect("it is watched").state
}

#[tokio::test]
async fn objects_are_told_as_facts_and_only_those_of_the_selector() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let (client, _) = counted(plane.kubeconfig_path()).await?;
    let api = in_default::<ConfigMap>(&client);
    put(&api, config_map("there-before", "1")).await?;
    let mut told = Told::by(counts(&client, Scope::All));
    told.until("synced", |told| told.synced == 1).await;
    assert_eq!(facts(&told), [("default/there-before", "1")]);
    assert!(told.health.synced());
    assert_eq!(state(&told), WatchState::Live);

    put(&api, config_map("new", "1")).await?;
    told.until("created", |told| told.facts.contains_key("default/new")).await;
    put(&api, config_map("new", "2")).await?;
    told.until("changed", |told| told.facts["default/new"] == "2").await;
    let mut unlabelled = config_map("new", "2");
    unlabelled["metadata"]["labels"] = json!({"follow": "no"});
    put(&api, unlabelled).await?;
    told.until("left the selector", |told| told.deleted == ["default/new"]).await;
    delete_config_map(&client, "there-before").await?;
    told.until("deleted", |told| told.facts.is_empty()).await;
    Ok(())
}

#[tokio::test]
async fn an_object_of_the_wrong_shape_concerns_itself_alone() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let (client, _) = counted(plane.kubeconfig_path()).await?;
    let api = in_default::<ConfigMap>(&client);
    let mut shapeless = config_map("shapeless", "1");
    shapeless["data"] = json!({"other": "1"});
    let uid = put(&api, shapeless.clone()).await?.metadata.uid.unwrap_or_default();
    put(&api, config_map("well", "1")).await?;
    let mut told = Told::by(counts(&client, Scope::All));
    told.until("synced", |told| told.synced == 1).await;
    assert_eq!(facts(&told), [("default/well", "1")]);
    let said = &told.unparsable["default/shapeless"];
    assert_eq!(said.uid, uid);
    assert!(said.error.starts_with("data: missing field `count`"), "{}", said.error);

    put(&api, config_map("shapeless", "2")).await?;
    told.until("cured", |told| told.facts.get("default/shapeless").is_some_and(|count| count == "2")).await;
    put(&api, shapeless).await?;
    told.until("spoiled by an event", |told| told.unparsable.contains_key("default/shapeless")).await;
    delete_config_map(&client, "shapeless").await?;
    told.until("deleted", |told| told.deleted == ["default/shapeless"]).await;
    Ok(())
}

#[tokio::test]
async fn namespaces_are_synced_together_and_a_list_of_many_pages_is_whole() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let (client, requests) = counted(plane.kubeconfig_path()).await?;
    for name in ["one", "two", "three"] {
        put(
            &Api::<Namespace>::all(client.clone()),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
        .await?;
        for number in 0..5 {
            let api = Api::<ConfigMap>::namespaced(client.clone(), name);
            put(&api, config_map(&format!("number-{number}"), "1")).await?;
        }
    }
    let scope = Scope::Namespaces(["one", "two"].map(str::to_owned).into());
    let mut told =
        Told::by(of(&client, WatchSpec::typed::<ConfigMap>(scope).labels("follow=me").page_size(2)));
    told.until("synced", |told| told.synced == 1).await;
    assert_eq!(told.facts.len(), 10, "{:?}", told.facts);
    assert!(!told.facts.keys().any(|key| key.starts_with("three/")), "{:?}", told.facts);
    assert_eq!(count(&requests, "list"), 6);
    Ok(())
}

#[tokio::test]
async fn what_vanishes_unseen_is_told_once_the_watch_is_back() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let wire = Wire::to(plane.kubeconfig_path()).await?;
    let (client, requests) = counted(wire.kubeconfig()).await?;
    let person = plane.client().await?;
    let api = in_default::<ConfigMap>(&person);
    for name in ["stays", "goes", "goes-too"] {
        put(&api, config_map(name, "1")).await?;
    }
    let mut told = Told::by(counts(&client, Scope::All));
    told.until("synced", |told| told.synced == 1).await;

    wire.set(Mode::Cut);
    told.until("broken", |told| matches!(told.states.last(), Some(WatchState::Failing(_)))).await;
    delete_config_map(&person, "goes").await?;
    delete_config_map(&person, "goes-too").await?;
    put(&api, config_map("comes", "1")).await?;
    // A server that has just started remembers no history: the watch has to begin with a new list.
    plane.restart_apiserver().await?;
    let back = Instant::now();
    wire.set(Mode::Whole);
    told.until("listed again", |told| told.synced == 2).await;
    println!("noticed {:.1} s after the wire was mended", back.elapsed().as_secs_f32());
    assert_eq!(facts(&told), [("default/comes", "1"), ("default/stays", "1")]);
    told.deleted.sort();
    assert_eq!(told.deleted, ["default/goes", "default/goes-too"]);
    assert_eq!(state(&told), WatchState::Live);
    assert!(count(&requests, "list") >= 2);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_keeps_breaking_goes_on_without_new_lists() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let wire = Wire::to(plane.kubeconfig_path()).await?;
    let (client, requests) = counted(wire.kubeconfig()).await?;
    let api = in_default::<ConfigMap>(&plane.client().await?);
    let mut told = Told::by(counts(&client, Scope::All));
    told.until("synced", |told| told.synced == 1).await;
    for number in 0..25 {
        wire.set(Mode::Cut);
        put(&api, config_map("changing", &number.to_string())).await?;
        wire.set(Mode::Whole);
        sleep(Duration::from_millis(200)).await;
    }
    told.until("the last change", |told| {
        told.facts.get("default/changing").is_some_and(|count| count == "24")
    })
    .await;
    let (lists, watches) = (count(&requests, "list"), count(&requests, "watch"));
    println!("25 breaks in 5 s: {lists} lists, {watches} watches");
    assert_eq!(lists, 1);
    assert!(watches <= 40, "{watches}");
    Ok(())
}

#[tokio::test]
async fn a_silent_watch_is_noticed_by_its_age_and_then_given_up() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let wire = Wire::to(plane.kubeconfig_path()).await?;
    let (client, _) = counted(wire.kubeconfig()).await?;
    let source =
        WatchSpec::typed::<ConfigMap>(Scope::All).labels("follow=me").timeout(Duration::from_secs(2));
    let mut told = Told::by(of(&client, source));
    told.until("synced", |told| told.synced == 1).await;
    // Idle and healthy: the watch is opened again and again, and its age stays small.
    sleep(Duration::from_secs(6)).await;
    assert!(told.health.age() < Duration::from_secs(4), "{:?}", told.health.age());
    assert!(told.states.iter().all(|state| *state == WatchState::Live), "{:?}", told.states);

    let silent = Instant::now();
    wire.set(Mode::Silent);
    told.until("given up", |told| matches!(told.states.last(), Some(WatchState::Failing(_)))).await;
    println!("silence noticed after {:.1} s of a 2 s watch", silent.elapsed().as_secs_f32());
    assert!(told.health.age() >= Duration::from_secs(4), "{:?}", told.health.age());
    assert!(told.health.synced(), "what was told is still known");
    put(&in_default::<ConfigMap>(&plane.client().await?), config_map("meanwhile", "1")).await?;
    wire.set(Mode::Whole);
    told.until("back", |told| told.facts.contains_key("default/meanwhile")).await;
    assert!(told.health.age() < Duration::from_secs(4), "{:?}", told.health.age());
    Ok(())
}

#[tokio::test]
async fn a_watch_that_is_not_allowed_says_so_and_goes_on_once_it_is() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let admin = plane.client().await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}});
    put(&in_default::<ServiceAccount>(&admin), account).await?;
    let (client, requests) = counted(&plane.kubeconfig_for("default", "reader").await?).await?;
    let mut told = Told::by(counts(&client, Scope::All));
    told.until("forbidden", |told| matches!(told.states.last(), Some(WatchState::Forbidden(_)))).await;
    let Some(WatchState::Forbidden(said)) = told.states.last() else { unreachable!() };
    assert!(said.contains("cannot list resource \"configmaps\""), "{said}");
    assert!(!told.health.synced());
    sleep(Duration::from_secs(3)).await;
    assert!(count(&requests, "list") <= 8, "{} tries in 3 s", count(&requests, "list"));

    let subjects =
        [BTreeMap::from([("kind", "ServiceAccount"), ("name", "reader"), ("namespace", "default")])];
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": subjects,
    });
    put(&Api::<ClusterRoleBinding>::all(admin), binding).await?;
    told.until("synced", |told| told.synced == 1).await;
    assert_eq!(told.states.last(), Some(&WatchState::Live));
    Ok(())
}
