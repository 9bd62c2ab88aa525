//! Groups whose consumers or partitions do not fit the load.

use anyhow::{Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_api::preset::Preset;

use crate::group::Group;
use crate::harness::{Harness, SHORT_LIMIT};

/// So slow that a few hundred records are a load.
const SLOW: &[(&str, &str)] = &[("KCONSUMER_WORK", "200ms")];

pub async fn a_hot_partition_fires_an_alert_while_the_average_lag_is_within_the_limit(
    harness: &Harness,
) -> Result<()> {
    let group = Group { partitions: 3, min: 3, limit: 100, env: SLOW, ..Group::idle("hot") };
    harness.create(&group, &[]).await?;
    // Wait until each consumer has one partition: the lag of one with all of them would be the
    // average.
    let metric = Preset::Spring.client_metrics().assigned_partitions;
    let assigned = format!("count({metric}{{service=\"{}\"}} == 1)", group.name);
    harness.measures(&assigned, 3.0).await?;
    harness.send(group.name, 250, &["--keys=single"]).await?;
    let alerts = harness.fires(group.name, AlertName::PartitionLagHigh).await?;
    ensure!(
        !alerts.contains(&AlertName::LagHigh.as_str().to_owned()),
        "the average is within the limit: {alerts:?}"
    );
    // More consumers would not help, so none is added.
    let group = harness.group(group.name).await.map_err(anyhow::Error::msg)?;
    ensure!(group["status"]["replicas"] == 3, "{group}");
    harness.resolves("hot", AlertName::PartitionLagHigh).await
}

pub async fn a_lagging_group_at_its_ceiling_is_reported(harness: &Harness) -> Result<()> {
    let group = Group { limit: 10, env: SLOW, ..Group::idle("crowded") };
    harness.create(&group, &[]).await?;
    harness.condition(group.name, "PartitionBound", ["False", "RoomToScale"], SHORT_LIMIT).await?;
    harness.send(group.name, 150, &[]).await?;
    let condition =
        harness.condition(group.name, "PartitionBound", ["True", "AtCeiling"], SHORT_LIMIT).await?;
    ensure!(condition.message.contains("add partitions to the topic"), "{condition:?}");
    harness.fires(group.name, AlertName::AtCeiling).await?;
    harness.condition(group.name, "PartitionBound", ["False", "RoomToScale"], SHORT_LIMIT).await?;
    harness.resolves(group.name, AlertName::AtCeiling).await
}

pub async fn consumers_without_a_partition_are_reported_and_fire_an_alert(harness: &Harness) -> Result<()> {
    let group = Group::idle("spare");
    let name = group.name;
    harness.create(&group, &[]).await?;
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    // The autoscaler would remove the consumers, and the operator would recreate the autoscaler
    // unless it is paused.
    let paused = |paused: bool| format!(r#"{{"spec":{{"paused":{paused}}}}}"#);
    harness.kubectl(&["patch", "kcg", name, "--type=merge", "-p", &paused(true)]).await?;
    harness.condition(name, "Paused", ["True", "PausedBySpec"], SHORT_LIMIT).await?;
    harness.kubectl(&["delete", "hpa", name]).await?;
    harness.kubectl(&["scale", "deployment", name, "--replicas=3"]).await?;
    let condition = harness.condition(name, "Ready", ["True", "IdleConsumers"], SHORT_LIMIT).await?;
    ensure!(condition.message.contains("(2 idle)"), "{condition:?}");
    ensure!(condition.message.contains("kubectl scale deployment spare --replicas=1"), "{condition:?}");
    harness.fires(name, AlertName::ConsumersIdle).await?;
    harness.kubectl(&["patch", "kcg", name, "--type=merge", "-p", &paused(false)]).await?;
    harness.ready(name, 1).await?;
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    harness.resolves(name, AlertName::ConsumersIdle).await
}
