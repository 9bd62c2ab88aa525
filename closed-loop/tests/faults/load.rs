//! Groups whose consumers and partitions do not fit the load.

use anyhow::{Result, ensure};

use crate::group::Group;
use crate::world::{SOON, World};

/// Slow enough that a few hundred records are a load.
const SLOW: &[(&str, &str)] = &[("KCONSUMER_WORK", "200ms")];

pub async fn a_hot_partition_fires_while_the_average_is_within_the_limit(world: &World) -> Result<()> {
    let group = Group { partitions: 3, min: 3, limit: 100, env: SLOW, ..Group::idle("hot") };
    world.create(&group, &[]).await?;
    // Each has its partition: one that has all of them would be the average.
    let assigned =
        format!("count(kafka_consumer_coordinator_assigned_partitions{{service=\"{}\"}} == 1)", group.name);
    world.measures(&assigned, 3.0).await?;
    world.send(group.name, 250, &["--keys=single"]).await?;
    let alerts = world.fires(group.name, "RecordsLagSkewed").await?;
    ensure!(
        !alerts.contains(&"RecordsLagBreached".to_owned()),
        "the average is within the limit: {alerts:?}"
    );
    // More consumers cannot help it, and none is added.
    let group = world.group(group.name).await.map_err(anyhow::Error::msg)?;
    ensure!(group["status"]["replicas"] == 3, "{group}");
    world.resolves("hot", "RecordsLagSkewed").await
}

pub async fn a_group_at_its_ceiling_and_behind_says_so(world: &World) -> Result<()> {
    let group = Group { limit: 10, env: SLOW, ..Group::idle("crowded") };
    world.create(&group, &[]).await?;
    world.told(group.name, "PartitionBound", ["False", "RoomToScale"], SOON).await?;
    world.send(group.name, 150, &[]).await?;
    let told = world.told(group.name, "PartitionBound", ["True", "AtCeiling"], SOON).await?;
    ensure!(told.message.contains("add partitions to the topic"), "{told:?}");
    world.fires(group.name, "RecordsLagAtCeiling").await?;
    world.told(group.name, "PartitionBound", ["False", "RoomToScale"], SOON).await?;
    world.resolves(group.name, "RecordsLagAtCeiling").await
}

pub async fn consumers_without_a_partition_are_named_and_fire_an_alert(world: &World) -> Result<()> {
    let group = Group::idle("spare");
    let name = group.name;
    world.create(&group, &[]).await?;
    world.told(name, "Ready", ["True", "Reconciled"], SOON).await?;
    // An autoscaler that is well would take them away, and an operator that is not paused would bring it back.
    let paused = |paused: bool| format!(r#"{{"spec":{{"paused":{paused}}}}}"#);
    world.kubectl(&["patch", "kcg", name, "--type=merge", "-p", &paused(true)]).await?;
    world.told(name, "Paused", ["True", "PausedBySpec"], SOON).await?;
    world.kubectl(&["delete", "hpa", name]).await?;
    world.kubectl(&["scale", "deployment", name, "--replicas=3"]).await?;
    let told = world.told(name, "Ready", ["True", "IdleConsumers"], SOON).await?;
    ensure!(told.message.contains("2 do nothing"), "{told:?}");
    ensure!(told.message.contains("kubectl scale deployment spare --replicas=1"), "{told:?}");
    world.fires(name, "ConsumersIdle").await?;
    world.kubectl(&["patch", "kcg", name, "--type=merge", "-p", &paused(false)]).await?;
    world.ready(name, 1).await?;
    world.told(name, "Ready", ["True", "Reconciled"], SOON).await?;
    world.resolves(name, "ConsumersIdle").await
}
