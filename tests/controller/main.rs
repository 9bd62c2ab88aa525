//! The controller against a real API server whose answers fail: every request of the controller
//! passes a layer that can refuse it, lose its answer or let it hang.

mod creation;
mod credentials;
mod endpoint;
mod env;
mod group_defaults;
mod leftovers;
mod many_groups;
mod namespaces;
mod pod_fields;
mod processes;
mod scaling_metrics;
mod scrapes;
mod served_metrics;
mod storage;
mod tenants;
mod without_lease;

use std::time::{Duration, Instant};

use kcg_tests::Outcome;
use kcg_tests::faults::{Action, Lift, Rule};
use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, SERVICE, condition};
use serde_json::json;

use env::ControllerEnv;

/// The limit for what needs several retries, each after a longer backoff.
const LATER: Duration = Duration::from_mins(1);
/// The reason of `Ready` if no write has failed: there are no nodes, so pods are never ready.
const NO_FAILED_WRITE: &str = "RollingOut";

#[tokio::test(flavor = "multi_thread")]
async fn fresh_group_costs_five_creations_and_one_status_write() -> Outcome {
    let env = ControllerEnv::start("fresh").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Paused", "Running").await?;
    let writes = env.faults.log.writes();
    assert_eq!(writes.len(), 6, "{writes:?}");
    for kind in CHILDREN {
        assert_eq!(env.faults.log.count("POST", &format!("/{}?", kind.plural)), 1, "{}", kind.name);
    }
    assert_eq!(env.faults.log.count("GET", "/g"), 0, "nothing is read");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_response_is_lost_is_not_repeated() -> Outcome {
    let env = ControllerEnv::start("lost-answer").await?;
    for kind in CHILDREN {
        env.faults.add(Rule::new("POST", &format!("/{}?", kind.plural)).times(1).act(Action::LoseAnswer));
    }
    env.create_group("g", &json!({"minReplicas": 2})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", NO_FAILED_WRITE).await?;
    for kind in CHILDREN {
        assert_eq!(env.faults.log.count("PATCH", &format!("/{}/g?", kind.plural)), 0, "{}", kind.name);
    }
    assert_eq!(env.get(DEPLOYMENT, "g").await?["spec"]["replicas"], 2, "the creation has the minimum");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_occasionally_succeed_in_the_end() -> Outcome {
    let env = ControllerEnv::start("failing").await?;
    for kind in CHILDREN {
        let creation = Rule::new("POST", &format!("/{}?", kind.plural));
        env.faults.add(creation.every_second().act(Action::Answer(500)));
    }
    env.faults.add(Rule::new("PATCH", "/g").every_second().act(Action::Answer(500)));
    env.faults.add(Rule::new("GET", "/g").every_second().act(Action::Answer(429)));
    env.create_group("g", &json!({})).await?;
    env.within(LATER).children_exist("g").await?;
    env.within(LATER).condition_is("g", "Ready", NO_FAILED_WRITE).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_whose_requests_hang_does_not_delay_other_kinds() -> Outcome {
    let env = ControllerEnv::start("stalled").await?;
    let stalled = env.faults.add(Rule::new("POST", "/services?").act(Action::Hang));
    let began = Instant::now();
    env.create_group("g", &json!({})).await?;
    for kind in CHILDREN.into_iter().filter(|kind| *kind != SERVICE) {
        env.exists(kind, "g").await?;
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    env.reason_is("g", "Ready", "ApplyFailed").await?;
    stalled.lift();
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", NO_FAILED_WRITE).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_right_affects_one_child_until_it_is_granted_again() -> Outcome {
    let env = ControllerEnv::start("forbidden").await?;
    let forbidden = env.faults.add(Rule::new("POST", "/horizontalpodautoscalers?").act(Action::Answer(403)));
    env.create_group("g", &json!({})).await?;
    let message = env.reason_is("g", "Ready", "ApplyRefused").await?;
    assert!(message.contains("the API server rejected HorizontalPodAutoscaler g"), "{message}");
    for kind in CHILDREN.into_iter().filter(|kind| *kind != AUTOSCALER) {
        env.exists(kind, "g").await?;
    }
    forbidden.lift();
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", NO_FAILED_WRITE).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_over_a_field_is_slowed_down() -> Outcome {
    let env = ControllerEnv::start("fight").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        env.patch(SERVICE, "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let repairs = env.faults.log.count("PATCH", "/services/g?");
    assert!((20..=28).contains(&repairs), "{repairs} repairs in 6 s");
    env.eventually(SERVICE, "g", "its own selector", |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_changes_before_several_applies_is_repaired_and_no_failure_is_reported() -> Outcome {
    let env = ControllerEnv::start("busy-child").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", NO_FAILED_WRITE).await?;
    env.drift_is_repaired("g").await?;
    let statuses = || env.faults.log.count("PATCH", "/kconsumergroups/g/status");
    let before = statuses();
    env.faults.add(Rule::new("PATCH", "/services/g?").times(5).act(Action::Answer(409)));
    env.drift_is_repaired("g").await?;
    assert_eq!(statuses(), before, "a status was written");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn holder_that_cannot_renew_its_lease_stops_writing_until_it_can() -> Outcome {
    let env = ControllerEnv::start("lease").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    let cut = env.faults.add(Rule::new("PUT", "/leases/").act(Action::Answer(500)));
    let gone = env.faults.add(Rule::new("GET", "/leases/").act(Action::Answer(500)));
    env.no_longer_leads().await?;
    let before = env.faults.log.writes().len();
    env.patch(SERVICE, "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
    // Absence can only be observed for a while.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(env.faults.log.writes().len(), before);
    cut.lift();
    gone.lift();
    env.eventually(SERVICE, "g", "its own selector", |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_limits_writes_and_reports_no_refusal() -> Outcome {
    let env = ControllerEnv::start("terminating").await?;
    let creations = CHILDREN.map(|kind| Rule::new("POST", &format!("/{}?", kind.plural)));
    let held = creations.map(|creation| env.faults.add(creation.act(Action::Answer(500))));
    env.create_group("g", &json!({})).await?;
    env.faults.log.eventually("POST", "/deployments?").await?;
    env.kubectl(&["delete", "namespace", &env.name, "--wait=false"]).await?.ok()?;
    held.into_iter().for_each(Lift::lift);
    env.faults.log.clear();
    // The absence of writes can only be observed for a while.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = env.faults.log.writes().into_iter().filter(|write| !write.contains("/status")).count();
    assert!(writes <= 5 * 5, "{writes} attempts in 5 s");
    assert_ne!(condition(&env.get(GROUP, "g").await?, "Ready")[1], "ApplyRefused");
    env.stop().await
}
