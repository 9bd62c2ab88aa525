//! The Events of a group: what `kubectl describe` shows of its history.

use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{EVENT, GROUP, TOPIC, condition};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_moved_ceiling_is_an_event_with_its_cause,
    a_finished_rollout_is_an_event_and_scaling_is_none,
    pause_and_resume_are_events,
    scaling_that_is_dead_for_minutes_is_one_warning,
];

const NAME: &str = "kconsumer";

/// The types and notes of the group's Events with this reason.
async fn noted(ns: &Namespace, reason: &str) -> Result<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = ns.list(EVENT).await?.into_iter().filter(|event| event["reason"] == reason);
    Ok(events.map(|event| (text(&event["type"]), text(&event["note"]))).collect())
}

/// Waits for an Event with this reason whose note contains `part`; returns its type.
async fn await_event(ns: &Namespace, reason: &str, part: &str) -> Result<String> {
    let what = format!("an Event {reason} with {part:?}");
    let found = eventually(&what, LIMIT, async || {
        let noted = noted(ns, reason).await.unwrap_or_default();
        let found = noted.iter().find(|(_, note)| note.contains(part)).map(|(type_, _)| type_.clone());
        Ok(found.ok_or_else(|| format!("{noted:?}")))
    });
    found.await
}

/// How often an Event with this reason was recorded; repeated ones are merged into a series.
async fn times(ns: &Namespace, reason: &str) -> Result<i64> {
    let events = ns.list(EVENT).await?.into_iter().filter(|event| event["reason"] == reason);
    Ok(events.map(|event| event["series"]["count"].as_i64().unwrap_or(1)).sum())
}

async fn a_moved_ceiling_is_an_event_with_its_cause(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("event-ceiling").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 6}})).await?;
    let raised =
        "the ceiling was raised from 3 to 6 consumers: the partitions that count changed from 3 to 6";
    assert_eq!(await_event(&ns, "CeilingRaised", raised).await?, "Normal");
    ns.patch(GROUP, NAME, &json!({"spec": {"maxReplicas": 2}})).await?;
    let lowered = "the ceiling was lowered from 6 to 2 consumers: the group's spec changed";
    assert_eq!(await_event(&ns, "CeilingLowered", lowered).await?, "Normal");
    ns.close().await
}

async fn a_finished_rollout_is_an_event_and_scaling_is_none(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("event-rollout").await?;
    // The pods are ready within a second, and a status is written once a second.
    ns.create_group(NAME, &json!({"scaling": {"minReadySeconds": 3}})).await?;
    ns.group_is_ready(NAME).await?;
    let complete = "the rollout is complete: all pods are of the current pod template";
    assert_eq!(await_event(&ns, "RolloutComplete", complete).await?, "Normal");

    // More pods are no rollout, whatever adds them.
    ns.patch(GROUP, NAME, &json!({"spec": {"minReplicas": 2}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=3"]).await?.ok()?;
    ns.eventually(GROUP, NAME, "three are available", |group| {
        group["status"]["availableReplicas"] == 3 && condition(group, "Progressing")[1] == "RolloutComplete"
    })
    .await?;
    assert_eq!(times(&ns, "RolloutComplete").await?, 1);

    ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"image": "example.com/consumer:2"}}})).await?;
    ns.group_is("kconsumer", "Unknown", "RollingOut").await?;
    let twice = eventually("a second Event RolloutComplete", LIMIT, async || {
        let times = times(&ns, "RolloutComplete").await.unwrap_or_default();
        Ok(if times == 2 { Ok(()) } else { Err(format!("{times} times")) })
    });
    twice.await?;
    ns.close().await
}

async fn pause_and_resume_are_events(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("event-pause").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": true}})).await?;
    assert_eq!(await_event(&ns, "Paused", "spec.paused is true").await?, "Normal");
    ns.patch(GROUP, NAME, &json!({"spec": {"paused": false}})).await?;
    assert_eq!(await_event(&ns, "Resumed", "the owned resources follow the spec").await?, "Normal");
    ns.close().await
}

/// The five minutes are those since lastTransitionTime, which is moved into the past.
async fn scaling_that_is_dead_for_minutes_is_one_warning(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("event-scaling-dead").await?;
    ns.create_group(NAME, &json!({"metrics": {"lagMetric": "nobody_serves_it"}})).await?;
    ns.group_is_ready(NAME).await?;
    let group = ns.condition_is(NAME, "MetricsAvailable", "MetricsMissing").await?;
    assert_eq!(noted(&ns, "MetricsMissing").await?, []);
    let position = group["status"]["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().position(|one| one["type"] == "MetricsAvailable"))
        .context("the condition is there")?;
    let since = Timestamp::now() - SignedDuration::from_mins(5);
    let path = format!("/status/conditions/{position}/lastTransitionTime");
    let since = json!(since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let patch = json!([{"op": "replace", "path": path, "value": since}]).to_string();
    let args = ["patch", "kcg", NAME, "--subresource=status", "--type=json", "--patch", &patch];
    ns.kubectl(&args).await?.ok()?;
    let note = ". The group has not been scaled by its lag for 5 minutes";
    assert_eq!(await_event(&ns, "MetricsMissing", note).await?, "Warning");
    let group = ns.get(GROUP, NAME).await?;
    assert!(condition(&group, "MetricsAvailable")[2].ends_with(note), "{}", group["status"]);
    // The next look at the group, whatever causes it, reports nothing again.
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 6}})).await?;
    await_event(&ns, "CeilingRaised", "from 3 to 6").await?;
    assert_eq!(times(&ns, "MetricsMissing").await?, 1);
    ns.close().await
}
