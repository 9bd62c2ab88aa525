//! Kafka away in the middle of a load, while its producer sends and its consumers process.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use kcg_closed_loop::ledger::Ledger;

use crate::group::Group;
use crate::world::{SOON, World};

const RECORDS: u64 = 4500;
/// Three times what one consumer does, so that it takes three; and half a minute long, so that Kafka is away in its middle.
const RATE: &str = "--rate=150/s";
const GROUP: Group = Group {
    partitions: 3,
    limit: 50,
    env: &[("KCONSUMER_WORK", "20ms"), ("KCONSUMER_LOG_RECORDS", "true")],
    ..Group::idle("outage")
};
const OFTEN: Duration = Duration::from_millis(500);

pub async fn kafka_away_in_the_middle_of_a_load_loses_nothing_and_holds_the_ceiling(
    world: &World,
) -> Result<()> {
    world.create(&GROUP, &[]).await?;
    world.told(GROUP.name, "MetricsAvailable", ["True", "MetricsRead"], SOON).await?;
    world.send(GROUP.name, RECORDS, &[RATE]).await?;
    world.ready(GROUP.name, 3).await?;
    ensure!(!world.has_sent(GROUP.name).await.map_err(Error::msg)?, "all was sent before Kafka was stopped");
    world.say(GROUP.name, &format!("Kafka is stopped after {} values", processed(world)?.len()));
    tokio::select! {
        broken = ceiling_holds(world) => broken?,
        came = goes_and_comes(world) => came?,
    }
    let values = processed(world)?;
    let wanted: BTreeSet<String> =
        (1..=RECORDS).map(|number| format!("bar-{number}")).chain(["baz".to_owned()]).collect();
    let lost: Vec<_> = wanted.difference(&values).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

async fn goes_and_comes(world: &World) -> Result<()> {
    let name = GROUP.name;
    world.stage.kafka.stop().await?;
    world.told(name, "Ready", ["False", "PodsNotReady"], SOON).await?;
    world.ready(name, 0).await?;
    world.stage.kafka.start_again().await?;
    let done = processed(world)?.len() as u64;
    ensure!(done < RECORDS, "nothing was left for after it");
    world.say(name, &format!("Kafka is back, {done} values are processed"));
    world.told(name, "Ready", ["True", "Reconciled"], SOON).await?;
    world.told(name, "MetricsAvailable", ["True", "MetricsRead"], SOON).await?;
    world.sent(name).await?;
    world
        .until("every value to be processed", SOON, async || {
            let values = processed(world).map_err(|error| error.to_string())?.len() as u64;
            if values > RECORDS { Ok(()) } else { Err(format!("{values} values are")) }
        })
        .await?;
    world.say(name, "every value is processed");
    Ok(())
}

/// Fails as soon as somebody else's word than the topic's changes it. An answer that does not come says nothing of it.
async fn ceiling_holds(world: &World) -> Result<()> {
    loop {
        tokio::time::sleep(OFTEN).await;
        let autoscaler = world.get("autoscaling", "v2", "HorizontalPodAutoscaler", GROUP.name).await;
        let group = world.group(GROUP.name).await;
        let (Ok(autoscaler), Ok(group)) = (&autoscaler, &group) else { continue };
        let ceilings = [&autoscaler["spec"]["maxReplicas"], &group["status"]["maxReplicas"]];
        ensure!(ceilings.iter().all(|ceiling| **ceiling == GROUP.partitions), "{ceilings:?}");
    }
}

/// The different values that were processed, as the pods' logs tell.
fn processed(world: &World) -> Result<BTreeSet<String>> {
    let mut ledger = Ledger::default();
    for run in world.stage.node.runs_of("default", GROUP.name) {
        ledger.read(&run.pod, &run.log())?;
    }
    Ok(ledger.records().iter().map(|record| record.value.clone()).collect())
}
