//! Consumers that hang in the processing of a record.

use anyhow::{Error, Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_closed_loop::Consumer;
use serde_json::json;

use crate::group::Group;
use crate::harness::{Harness, SHORT_LIMIT};

pub async fn a_hung_consumer_in_rust_fires_an_alert(harness: &Harness) -> Result<()> {
    hangs(harness, &Group { env: &[("KCONSUMER_WORK", "1h")], ..Group::idle("hung-rust") }).await
}

pub async fn a_hung_spring_application_fires_an_alert(harness: &Harness) -> Result<()> {
    let env = &[("KCONSUMER_WORK", "1h")];
    hangs(harness, &Group { consumer: Consumer::Spring, env, ..Group::idle("hung-spring") }).await
}

pub async fn a_hung_consumer_with_the_jmx_exporter_fires_an_alert(harness: &Harness) -> Result<()> {
    let env = &[("KCONSUMER_WORK_MS", "3600000")];
    hangs(harness, &Group { consumer: Consumer::Jmx, env, ..Group::idle("hung-jmx") }).await
}

/// The first record is never done. The consumer has its preset's readiness probe.
async fn hangs(harness: &Harness, group: &Group) -> Result<()> {
    const SECONDS: u32 = 20;
    let (name, hung) = (group.name, AlertName::ConsumersHung);
    let mut resource = group.resource(&[]);
    let own = group.consumer.metrics();
    for (field, value) in own.as_object().into_iter().flatten() {
        resource["spec"]["metrics"][field] = value.clone();
    }
    if let Some(consumer) = resource["spec"]["consumerSpec"].as_object_mut() {
        consumer.remove("podTemplate");
    }
    resource["spec"]["alerts"]["rules"] = json!({hung.as_str(): {"threshold": SECONDS}});
    harness.create_topic(group).await?;
    harness.apply(&resource).await?;
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    harness.condition(name, "MetricsAvailable", ["True", "MetricsRead"], SHORT_LIMIT).await?;
    // It has been idle for longer than one that hangs may be silent.
    let polls = group.consumer.preset().client_metrics().last_poll_seconds_ago;
    let idle = format!("count(count_over_time({polls}{{service=\"{name}\"}}[2m]) > {SECONDS}) > bool 0");
    harness.measures(&idle, 1.0).await?;
    let alerts = harness.alerts(name).await.map_err(Error::msg)?;
    ensure!(alerts.iter().all(|(alert, _)| alert != hung.as_str()), "it is idle: {alerts:?}");

    harness.send(name, 20, &[]).await?;
    harness.fires(name, hung).await?;
    let deployment = harness.get("apps", "v1", "Deployment", name).await.map_err(Error::msg)?;
    let probe = &deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"];
    ensure!(probe["httpGet"]["path"].is_string(), "the preset's probe: {deployment}");
    harness.kubectl(&["delete", "kcg", name, "--wait=false"]).await.map(drop)
}
