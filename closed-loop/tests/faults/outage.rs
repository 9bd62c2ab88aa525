//! Kafka is stopped under load, while the producer sends and the consumers process.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use kcg_closed_loop::observe::processed_log::ProcessedLog;

use crate::group::Group;
use crate::harness::{Harness, SHORT_LIMIT};

const RECORDS: u64 = 4500;
/// Three times the rate of one consumer, so that the group needs three, and for half a minute, so
/// that Kafka is stopped before everything is sent.
const RATE: &str = "--rate=150/s";
const GROUP: Group = Group {
    partitions: 3,
    limit: 50,
    env: &[("KCONSUMER_WORK", "20ms"), ("KCONSUMER_LOG_RECORDS", "true")],
    ..Group::idle("outage")
};
const INTERVAL: Duration = Duration::from_millis(500);

pub async fn a_kafka_outage_under_load_loses_no_record_and_keeps_the_ceiling(
    harness: &Harness,
) -> Result<()> {
    harness.create(&GROUP, &[]).await?;
    harness.condition(GROUP.name, "MetricsAvailable", ["True", "MetricsRead"], SHORT_LIMIT).await?;
    harness.send(GROUP.name, RECORDS, &[RATE]).await?;
    harness.ready(GROUP.name, 3).await?;
    ensure!(
        !harness.has_sent(GROUP.name).await.map_err(Error::msg)?,
        "all was sent before Kafka was stopped"
    );
    harness.log(GROUP.name, &format!("Kafka is stopped after {} values", processed(harness)?.len()));
    tokio::select! {
        broken = ceiling_holds(harness) => broken?,
        restarted = stop_and_restart(harness) => restarted?,
    }
    let values = processed(harness)?;
    let wanted: BTreeSet<String> =
        (1..=RECORDS).map(|number| format!("bar-{number}")).chain(["baz".to_owned()]).collect();
    let lost: Vec<_> = wanted.difference(&values).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

async fn stop_and_restart(harness: &Harness) -> Result<()> {
    let name = GROUP.name;
    harness.environment.kafka.stop().await?;
    harness.condition(name, "Ready", ["False", "PodsNotReady"], SHORT_LIMIT).await?;
    harness.ready(name, 0).await?;
    harness.environment.kafka.start_again().await?;
    let done = processed(harness)?.len() as u64;
    ensure!(done < RECORDS, "everything was processed before Kafka was back");
    harness.log(name, &format!("Kafka is back, {done} values are processed"));
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    harness.condition(name, "MetricsAvailable", ["True", "MetricsRead"], SHORT_LIMIT).await?;
    harness.sent(name).await?;
    harness
        .until("every value to be processed", SHORT_LIMIT, async || {
            let values = processed(harness).map_err(|error| error.to_string())?.len() as u64;
            if values > RECORDS { Ok(()) } else { Err(format!("{values} values are")) }
        })
        .await?;
    harness.log(name, "every value is processed");
    Ok(())
}

/// Fails if the ceiling ever differs from the topic's partitions. Failed requests are ignored.
async fn ceiling_holds(harness: &Harness) -> Result<()> {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let autoscaler = harness.get("autoscaling", "v2", "HorizontalPodAutoscaler", GROUP.name).await;
        let group = harness.group(GROUP.name).await;
        let (Ok(autoscaler), Ok(group)) = (&autoscaler, &group) else { continue };
        let ceilings = [&autoscaler["spec"]["maxReplicas"], &group["status"]["maxReplicas"]];
        ensure!(ceilings.iter().all(|ceiling| **ceiling == GROUP.partitions), "{ceilings:?}");
    }
}

/// The different values that were processed, from the pods' logs.
fn processed(harness: &Harness) -> Result<BTreeSet<String>> {
    let mut log = ProcessedLog::default();
    for run in harness.environment.node.runs_of("default", GROUP.name) {
        log.read(&run.pod, &run.log())?;
    }
    Ok(log.records().iter().map(|record| record.value.clone()).collect())
}
