//! The controller against a real API server whose answers go wrong: every request of it passes a layer that can
//! refuse it, lose its answer or let it hang.

mod faults;
mod namespaces;
mod place;

use std::time::{Duration, Instant};

use faults::{Action, Rule};
use place::{CHILDREN, Outcome, Place};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
/// Where several tries are needed, each after a longer wait.
const LATER: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn fresh_group_costs_five_creations_and_one_status_write() -> Outcome {
    let place = Place::open("fresh").await?;
    place.create_group("g", &json!({})).await?;
    place.has_all_children("g", SOON).await?;
    place.has_status("g", SOON).await?;
    let writes = place.log.writes();
    assert_eq!(writes.len(), 6, "{writes:?}");
    assert_eq!(place.log.count("GET", "/g"), 5, "each is looked for once");
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_whose_answer_is_lost_is_not_made_twice() -> Outcome {
    let place = Place::open("lost-answer").await?;
    for plural in CHILDREN {
        place.faults.add(Rule::new("PATCH", &format!("/{plural}/g")).times(1).act(Action::LoseAnswer));
    }
    place.create_group("g", &json!({"minReplicas": 2})).await?;
    place.has_all_children("g", SOON).await?;
    place.is_without_trouble("g", SOON).await?;
    for plural in CHILDREN {
        assert_eq!(place.log.count("PATCH", &format!("/{plural}/g?")), 1, "{plural}");
    }
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_now_and_then_are_made_in_the_end() -> Outcome {
    let place = Place::open("failing").await?;
    place.faults.add(Rule::new("PATCH", "/g").every_second().act(Action::Answer(500)));
    place.faults.add(Rule::new("GET", "/g").every_second().act(Action::Answer(429)));
    place.create_group("g", &json!({})).await?;
    place.has_all_children("g", LATER).await?;
    place.is_without_trouble("g", LATER).await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kind_that_never_answers_holds_up_none_of_the_others() -> Outcome {
    let place = Place::open("stalled").await?;
    let stalled = place.faults.add(Rule::new("PATCH", "/services/g").act(Action::Hang));
    let began = Instant::now();
    place.create_group("g", &json!({})).await?;
    for plural in CHILDREN.into_iter().filter(|plural| *plural != "services") {
        place.has_child(plural, "g", SOON).await?;
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    place.says("g", "Ready", "ApplyFailed", SOON).await?;
    stalled.lift();
    place.has_all_children("g", SOON).await?;
    place.is_without_trouble("g", SOON).await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn right_that_is_taken_away_costs_one_child_and_comes_back() -> Outcome {
    let place = Place::open("forbidden").await?;
    let forbidden =
        place.faults.add(Rule::new("PATCH", "/horizontalpodautoscalers/g").act(Action::Answer(403)));
    place.create_group("g", &json!({})).await?;
    let message = place.says("g", "Ready", "ApplyRefused", SOON).await?;
    assert!(message.contains("the API server refused HorizontalPodAutoscaler g"), "{message}");
    for plural in CHILDREN.into_iter().filter(|plural| *plural != "horizontalpodautoscalers") {
        place.has_child(plural, "g", SOON).await?;
    }
    forbidden.lift();
    place.has_all_children("g", SOON).await?;
    place.is_without_trouble("g", SOON).await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fight_over_a_field_is_slowed_down() -> Outcome {
    let place = Place::open("fight").await?;
    place.create_group("g", &json!({})).await?;
    place.has_all_children("g", SOON).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        place.spoil("services", "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let repairs = place.log.count("PATCH", "/services/g?") - 1;
    assert!((10..=18).contains(&repairs), "{repairs} repairs in 6 s");
    place
        .has("services", "g", "its own selector", SOON, |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn holder_that_cannot_renew_its_lease_stops_writing_until_it_can() -> Outcome {
    let place = Place::open("lease").await?;
    place.create_group("g", &json!({})).await?;
    place.has_all_children("g", SOON).await?;
    let cut = place.faults.add(Rule::new("PUT", "/leases/").act(Action::Answer(500)));
    let gone = place.faults.add(Rule::new("GET", "/leases/").act(Action::Answer(500)));
    place.no_longer_leads(SOON).await?;
    let before = place.log.writes().len();
    place.spoil("services", "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
    // That nothing happens can only be watched for a while.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(place.log.writes().len(), before);
    cut.lift();
    gone.lift();
    place
        .has("services", "g", "its own selector", SOON, |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn group_of_a_namespace_on_its_way_out_is_left_in_peace() -> Outcome {
    let place = Place::open("terminating").await?;
    let held = place.faults.add(Rule::new("PATCH", "/g").act(Action::Answer(500)));
    place.create_group("g", &json!({})).await?;
    place.log.awaits("PATCH", "/deployments/g", SOON).await?;
    place.delete_namespace().await?;
    held.lift();
    place.log.clear();
    // So can that little does.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = place.log.writes().into_iter().filter(|write| !write.contains("/status")).count();
    assert!(writes <= 5 * 5, "{writes} tries in 5 s");
    let trouble = place.condition("g", "Ready").await?;
    assert_ne!(trouble.map(|condition| condition["reason"].clone()), Some(json!("ApplyRefused")));
    place.close().await
}
