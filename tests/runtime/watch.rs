//! A watcher reports changes, and after an outage also what changed during it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kcg_devcluster::KafkaTopicCrd;
use kcg_runtime::watch::{Scope, Transform, WatchSpec, WatchState, Watcher};
use kcg_tests::Outcome;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::events::RecordedEvents;
use crate::proxy::{Mode, Proxy};
use crate::requests::{apply, config_map, count, counting_client, delete_config_map, in_default, server};

/// The fields that an object must have to be parsed.
#[derive(Deserialize)]
struct Counted {
    data: Count,
}

#[derive(Deserialize)]
struct Count {
    count: String,
}

fn counts(client: &Client, scope: Scope) -> Watcher<String> {
    watcher(client, WatchSpec::typed::<ConfigMap>(scope).labels("watched=yes"))
}

fn watcher(client: &Client, spec: WatchSpec) -> Watcher<String> {
    Watcher::new("configmaps", client.clone(), spec, Transform::new(|object: Counted| object.data.count))
}

fn facts(events: &RecordedEvents<String>) -> Vec<(&str, &str)> {
    events.facts.iter().map(|(key, count)| (key.as_str(), count.as_str())).collect()
}

fn state(events: &RecordedEvents<String>) -> WatchState {
    events.health.in_namespace("default").expect("it is watched").state
}

#[tokio::test]
async fn a_watcher_reports_the_facts_of_objects_that_match_the_selector() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let (client, _) = counting_client(plane.kubeconfig_path()).await?;
    let api = in_default::<ConfigMap>(&client);
    apply(&api, config_map("there-before", "1")).await?;
    let mut events = RecordedEvents::of(counts(&client, Scope::All));
    events.until("synced", |events| events.synced == 1).await;
    assert_eq!(facts(&events), [("default/there-before", "1")]);
    assert!(events.health.synced());
    assert_eq!(state(&events), WatchState::Live);

    apply(&api, config_map("new", "1")).await?;
    events.until("created", |events| events.facts.contains_key("default/new")).await;
    apply(&api, config_map("new", "2")).await?;
    events.until("changed", |events| events.facts["default/new"] == "2").await;
    let mut unlabelled = config_map("new", "2");
    unlabelled["metadata"]["labels"] = json!({"watched": "no"});
    apply(&api, unlabelled).await?;
    events.until("left the selector", |events| events.deleted == ["default/new"]).await;
    delete_config_map(&client, "there-before").await?;
    events.until("deleted", |events| events.facts.is_empty()).await;
    Ok(())
}

#[tokio::test]
async fn an_unparsable_object_does_not_affect_others() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let (client, _) = counting_client(plane.kubeconfig_path()).await?;
    let api = in_default::<ConfigMap>(&client);
    let mut shapeless = config_map("shapeless", "1");
    shapeless["data"] = json!({"other": "1"});
    let uid = apply(&api, shapeless.clone()).await?.metadata.uid.unwrap_or_default();
    apply(&api, config_map("well", "1")).await?;
    let mut events = RecordedEvents::of(counts(&client, Scope::All));
    events.until("synced", |events| events.synced == 1).await;
    assert_eq!(facts(&events), [("default/well", "1")]);
    let unparsable = &events.unparsable["default/shapeless"];
    assert_eq!(unparsable.uid, uid);
    assert!(unparsable.error.starts_with("data: missing field `count`"), "{}", unparsable.error);

    apply(&api, config_map("shapeless", "2")).await?;
    events
        .until("cured", |events| events.facts.get("default/shapeless").is_some_and(|count| count == "2"))
        .await;
    apply(&api, shapeless).await?;
    events.until("spoiled by an event", |events| events.unparsable.contains_key("default/shapeless")).await;
    delete_config_map(&client, "shapeless").await?;
    events.until("deleted", |events| events.deleted == ["default/shapeless"]).await;
    Ok(())
}

#[tokio::test]
async fn namespaces_sync_together_and_a_list_of_several_pages_is_complete() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let (client, requests) = counting_client(plane.kubeconfig_path()).await?;
    for name in ["one", "two", "three"] {
        apply(
            &Api::<Namespace>::all(client.clone()),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
        .await?;
        for number in 0..5 {
            let api = Api::<ConfigMap>::namespaced(client.clone(), name);
            apply(&api, config_map(&format!("number-{number}"), "1")).await?;
        }
    }
    let scope = Scope::Namespaces(["one", "two"].map(str::to_owned).into());
    let mut events = RecordedEvents::of(watcher(
        &client,
        WatchSpec::typed::<ConfigMap>(scope).labels("watched=yes").page_size(2),
    ));
    events.until("synced", |events| events.synced == 1).await;
    assert_eq!(events.facts.len(), 10, "{:?}", events.facts);
    assert!(!events.facts.keys().any(|key| key.starts_with("three/")), "{:?}", events.facts);
    assert_eq!(count(&requests, "list"), 6);
    Ok(())
}

#[tokio::test]
async fn objects_deleted_during_an_outage_are_reported_after_it() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let proxy = Proxy::to(plane.kubeconfig_path()).await?;
    let (client, requests) = counting_client(proxy.kubeconfig()).await?;
    let admin = plane.client().await?;
    let api = in_default::<ConfigMap>(&admin);
    for name in ["stays", "goes", "goes-too"] {
        apply(&api, config_map(name, "1")).await?;
    }
    let mut events = RecordedEvents::of(counts(&client, Scope::All));
    events.until("synced", |events| events.synced == 1).await;

    proxy.set(Mode::Closed);
    events.until("broken", |events| matches!(events.states.last(), Some(WatchState::Failing(_)))).await;
    delete_config_map(&admin, "goes").await?;
    delete_config_map(&admin, "goes-too").await?;
    apply(&api, config_map("comes", "1")).await?;
    // A server that has just started has no history, so the watch has to begin with a new list.
    plane.restart_apiserver().await?;
    let back = Instant::now();
    proxy.set(Mode::Open);
    events.until("listed again", |events| events.synced == 2).await;
    println!("noticed {:.1} s after the proxy was opened", back.elapsed().as_secs_f32());
    assert_eq!(facts(&events), [("default/comes", "1"), ("default/stays", "1")]);
    events.deleted.sort();
    assert_eq!(events.deleted, ["default/goes", "default/goes-too"]);
    assert_eq!(state(&events), WatchState::Live);
    assert!(count(&requests, "list") >= 2);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_keeps_breaking_resumes_without_new_lists() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let proxy = Proxy::to(plane.kubeconfig_path()).await?;
    let (client, requests) = counting_client(proxy.kubeconfig()).await?;
    let api = in_default::<ConfigMap>(&plane.client().await?);
    let mut events = RecordedEvents::of(counts(&client, Scope::All));
    events.until("synced", |events| events.synced == 1).await;
    for number in 0..25 {
        proxy.set(Mode::Closed);
        apply(&api, config_map("changing", &number.to_string())).await?;
        proxy.set(Mode::Open);
        sleep(Duration::from_millis(200)).await;
    }
    events
        .until("the last change", |events| {
            events.facts.get("default/changing").is_some_and(|count| count == "24")
        })
        .await;
    let (lists, watches) = (count(&requests, "list"), count(&requests, "watch"));
    println!("25 breaks in 5 s: {lists} lists, {watches} watches");
    assert_eq!(lists, 1);
    assert!(watches <= 40, "{watches}");
    Ok(())
}

#[tokio::test]
async fn a_stalled_watch_is_detected_by_its_age_and_then_dropped() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let proxy = Proxy::to(plane.kubeconfig_path()).await?;
    let (client, _) = counting_client(proxy.kubeconfig()).await?;
    let spec =
        WatchSpec::typed::<ConfigMap>(Scope::All).labels("watched=yes").timeout(Duration::from_secs(2));
    let mut events = RecordedEvents::of(watcher(&client, spec));
    events.until("synced", |events| events.synced == 1).await;
    // Idle and healthy: the watch is reopened repeatedly, so its age stays small.
    sleep(Duration::from_secs(6)).await;
    assert!(events.health.age() < Duration::from_secs(4), "{:?}", events.health.age());
    assert!(events.states.iter().all(|state| *state == WatchState::Live), "{:?}", events.states);

    let silent = Instant::now();
    proxy.set(Mode::Stalled);
    events.until("dropped", |events| matches!(events.states.last(), Some(WatchState::Failing(_)))).await;
    println!("silence noticed after {:.1} s of a 2 s watch", silent.elapsed().as_secs_f32());
    assert!(events.health.age() >= Duration::from_secs(4), "{:?}", events.health.age());
    assert!(events.health.synced(), "what was synced is still known");
    apply(&in_default::<ConfigMap>(&plane.client().await?), config_map("meanwhile", "1")).await?;
    proxy.set(Mode::Open);
    events.until("back", |events| events.facts.contains_key("default/meanwhile")).await;
    assert!(events.health.age() < Duration::from_secs(4), "{:?}", events.health.age());
    Ok(())
}

#[tokio::test]
async fn a_forbidden_watch_is_reported_and_resumes_when_it_is_allowed() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let admin = plane.client().await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}});
    apply(&in_default::<ServiceAccount>(&admin), account).await?;
    let (client, requests) = counting_client(&plane.kubeconfig_for("default", "reader").await?).await?;
    let mut events = RecordedEvents::of(counts(&client, Scope::All));
    events.until("forbidden", |events| matches!(events.states.last(), Some(WatchState::Forbidden(_)))).await;
    let Some(WatchState::Forbidden(message)) = events.states.last() else { unreachable!() };
    assert!(message.contains("cannot list resource \"configmaps\""), "{message}");
    assert!(!events.health.synced());
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
    apply(&Api::<ClusterRoleBinding>::all(admin), binding).await?;
    events.until("synced", |events| events.synced == 1).await;
    assert_eq!(events.states.last(), Some(&WatchState::Live));
    Ok(())
}
