//! Static members in a Deployment: each new pod has a new name, and an old member does not leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_closed_loop::observe::processed_log::ProcessedLog;
use serde_json::{Value, json};

use crate::group::Group;
use crate::harness::{Harness, SHORT_LIMIT};

const SESSION: Duration = Duration::from_secs(20);
/// How late the group may notice that a session is over, and read again, on a busy computer.
const SLACK: Duration = Duration::from_secs(15);
/// Enough at this rate for a rollout that waits for two sessions.
const RECORDS: u64 = 2400;
const RATE: &str = "--rate=30/s";
const INTERVAL: Duration = Duration::from_millis(500);
const GROUP: Group = Group {
    partitions: 6,
    min: 6,
    env: &[("KCONSUMER_SESSION_TIMEOUT", "20s"), ("KCONSUMER_LOG_RECORDS", "true")],
    ..Group::idle("static")
};

pub async fn static_members_delay_a_rollout_by_two_sessions_and_lose_no_record(
    harness: &Harness,
) -> Result<()> {
    let name = GROUP.name;
    harness.create_topic(&GROUP).await?;
    harness.apply(&resource()).await?;
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    harness.condition(name, "MetricsAvailable", ["True", "MetricsRead"], SHORT_LIMIT).await?;
    harness.send(name, RECORDS, &[RATE]).await?;
    let all = usize::try_from(GROUP.partitions)?;
    harness
        .until("every partition to be read", SHORT_LIMIT, async || {
            let read = processed(harness).map_err(|error| error.to_string())?.len();
            if read == all { Ok(()) } else { Err(format!("{read} are")) }
        })
        .await?;
    let roll = r#"{"spec":{"consumerSpec":{"podTemplate":{"metadata":{"annotations":{"roll":"1"}}}}}}"#;
    harness.kubectl(&["patch", "kcg", name, "--type=merge", "-p", roll]).await?;
    tokio::select! {
        asked = more_partitions_are_asked_for(harness) => asked?,
        read = all_is_read(harness) => read?,
    }
    for (partition, times) in processed(harness)? {
        let pause = longest_pause(&times);
        harness.log(name, &format!("partition {partition} was not read for {:.1} s", pause.as_secs_f64()));
        ensure!(pause <= 2 * SESSION + SLACK, "partition {partition} was not read for {pause:?}");
    }
    Ok(())
}

/// The instance id is the pod's name, as in the guides to static membership.
fn resource() -> Value {
    let mut group = GROUP.resource(&[]);
    if let Some(env) = group["spec"]["consumerSpec"]["env"].as_array_mut() {
        env.push(json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}));
        env.push(json!({"name": "KCONSUMER_GROUP_INSTANCE_ID", "value": "$(POD_NAME)"}));
    }
    group
}

/// Waits until the new pods run and every record is processed.
async fn all_is_read(harness: &Harness) -> Result<()> {
    let name = GROUP.name;
    harness.condition(name, "Ready", ["True", "Reconciled"], SHORT_LIMIT).await?;
    harness.sent(name).await?;
    let wanted = usize::try_from(RECORDS)? + 1;
    harness
        .until("every record to be processed", SHORT_LIMIT, async || {
            let values = values(harness).map_err(|error| error.to_string())?.len();
            if values >= wanted { Ok(()) } else { Err(format!("{values} of {wanted} are")) }
        })
        .await
}

/// Fails if the status or an alert says that the group needs more partitions.
async fn more_partitions_are_asked_for(harness: &Harness) -> Result<()> {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let alerts = harness.alerts(GROUP.name).await.map_err(Error::msg)?;
        let at_ceiling = AlertName::AtCeiling.as_str();
        ensure!(alerts.iter().all(|(alert, _)| alert != at_ceiling), "{alerts:?}");
        // A failed request is none that says it.
        let Ok(group) = harness.group(GROUP.name).await else { continue };
        let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let bound = |one: &Value| one["type"] == "PartitionBound" && one["status"] == "True";
        ensure!(!conditions.iter().any(bound), "{conditions:?}");
    }
}

fn log(harness: &Harness) -> Result<ProcessedLog> {
    let mut log = ProcessedLog::default();
    for run in harness.environment.node.runs_of("default", GROUP.name) {
        log.read(&run.pod, &run.log())?;
    }
    Ok(log)
}

fn values(harness: &Harness) -> Result<BTreeSet<String>> {
    Ok(log(harness)?.records().iter().map(|record| record.value.clone()).collect())
}

/// When the records of each partition were processed, in milliseconds since 1970.
fn processed(harness: &Harness) -> Result<BTreeMap<i32, BTreeSet<u64>>> {
    let mut times = BTreeMap::<i32, BTreeSet<u64>>::new();
    for record in log(harness)?.records() {
        times.entry(record.partition).or_default().insert(record.at);
    }
    Ok(times)
}

/// Records arrive all the time, so a pause is the time between two that were processed.
fn longest_pause(times: &BTreeSet<u64>) -> Duration {
    let pauses = times.iter().zip(times.iter().skip(1)).map(|(from, to)| to - from);
    Duration::from_millis(pauses.max().unwrap_or_default())
}
