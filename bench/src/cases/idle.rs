//! What the status writes of the autoscalers cost an operator at rest: those that move no lag far, and those
//! that do.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Bench, progress};
use crate::cluster::Cluster;
use crate::contestant::{Contestant, Running};
use crate::kinds::{AUTOSCALER, get, merge_patch};
use crate::observe::Tally;
use crate::report::{COUNT, Row};
use crate::workload::Workload;

const CASE: &str = "idle";
/// Status writes a second.
const RATE: u32 = 300;
const WRITERS: usize = 16;
/// The most windows of each kind.
const MOST_WINDOWS: usize = 3;
/// The most status writes at a time: half of the changes that an API server runs at a time.
const MOST_IN_FLIGHT: usize = 100;
/// The most writes a second while lags change much.
const MOST_WRITES: f64 = 10.0;
/// The most of a core, in percent.
const MOST_CPU: f64 = 3.0;
/// How long an operator may gather what the last status writes of a window have changed.
const GATHER: Duration = Duration::from_secs(3);

/// The lag that a status write reports, by its number and its round over all autoscalers.
type Lag = fn(usize, usize) -> usize;

/// Within a factor of two of 500, and below the limit of 1000.
fn still(number: usize, _: usize) -> usize {
    500 + number * 7 % 400
}

/// From 500 to 50,000 and back.
fn moving(_: usize, round: usize) -> usize {
    if round.is_multiple_of(2) { 50_000 } else { 500 }
}

pub(super) async fn run(bench: &mut Bench<'_>, contestant: &Contestant, cluster: &Cluster) -> Result<()> {
    let running = contestant.start(cluster)?;
    running.rest().await?;
    let groups = bench.options.most_groups();
    let churn = Churn {
        client: cluster.client.clone(),
        workload: Workload::new("bench", groups),
        autoscalers: groups,
        metric: metric(cluster).await?,
        number: Cell::new(0),
    };
    progress(&format!("{}: the first status of {groups} autoscalers", contestant.name));
    churn.first().await?;
    running.rest().await?;
    let time = Duration::from_secs(bench.options.rest);
    let kinds: [(Lag, &str, &str, &str, f64, Figure); 2] = [
        (still, "lags that stay", "its writes", COUNT, 0.0, |window| window.writes),
        (moving, "lags that change much", "its writes a second", "1/s", MOST_WRITES, |window| {
            window.writes / window.seconds
        }),
    ];
    for (lags, what, writes, unit, most, of) in kinds {
        let mut windows = Vec::new();
        for _ in 0..bench.options.rounds.min(MOST_WINDOWS) {
            progress(&format!("{}: {RATE} status writes a second, {what}", contestant.name));
            windows.push(window(&churn, &running, lags, time).await?);
        }
        let row = |figure: &str, unit, of: Figure| {
            let what = format!("{}, {what}: {figure}", contestant.name);
            Row::new(CASE, groups, what, unit, windows.iter().map(of).collect())
        };
        bench.add(vec![
            row("status writes a second", "1/s", |window| window.rate),
            row(writes, unit, of).at_most(most),
            row("its CPU", "% of a core", |window| window.cpu).at_most(MOST_CPU),
        ])?;
    }
    running.stop().await
}

/// One figure of a window.
type Figure = fn(&Window) -> f64;

/// What was seen while statuses were written.
struct Window {
    seconds: f64,
    /// Status writes a second.
    rate: f64,
    /// Those of the operator.
    writes: f64,
    /// In percent of a core.
    cpu: f64,
}

async fn window(churn: &Churn, running: &Running, lags: Lag, time: Duration) -> Result<Window> {
    let tally = Tally::begin(&churn.client).await?;
    let (before, began) = (running.cpu()?, Instant::now());
    let written = churn.write(lags, time).await?;
    let writing = began.elapsed().as_secs_f64();
    let (rate, cpu) = (written as f64 / writing, (running.cpu()? - before) / writing * 100.0);
    tokio::time::sleep(GATHER).await;
    let (seconds, total) = (began.elapsed().as_secs_f64(), tally.total()?);
    ensure!(total >= written, "{written} statuses were written, and {total} writes were seen");
    Ok(Window { seconds, rate, writes: (total - written) as f64, cpu })
}

/// The metric by which the autoscalers of this operator read the lag.
async fn metric(cluster: &Cluster) -> Result<String> {
    let path = Workload::new("bench", 1).path(AUTOSCALER, 0);
    let autoscaler: Value = cluster.client.request(get(&path)).await?;
    let mut metrics = autoscaler["spec"]["metrics"].as_array().into_iter().flatten();
    let name = metrics.find_map(|metric| metric["pods"]["metric"]["name"].as_str());
    Ok(name.context("the autoscaler has no metric of its pods")?.to_owned())
}

/// Writes the statuses of autoscalers as their controller does.
struct Churn {
    client: Client,
    workload: Workload,
    autoscalers: usize,
    metric: String,
    /// Of the next status: no two are equal, so none is a write without an event.
    number: Cell<usize>,
}

impl Churn {
    /// Gives each autoscaler a status.
    async fn first(&self) -> Result<()> {
        let writes = (0..self.autoscalers).map(|_| self.client.request::<Value>(self.next(|_, _| 500)));
        stream::iter(writes).buffer_unordered(WRITERS).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Writes at [`RATE`] for some time; returns how many writes there were.
    async fn write(&self, lags: Lag, time: Duration) -> Result<usize> {
        let count = usize::try_from(time.as_secs() * u64::from(RATE))?;
        let mut clock = interval(Duration::from_secs(1) / RATE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut writing = JoinSet::new();
        for _ in 0..count {
            clock.tick().await;
            let request = self.next(lags);
            let client = self.client.clone();
            writing.spawn(async move { client.request::<Value>(request).await });
            while let Some(written) = writing.try_join_next() {
                written??;
            }
            // An API server that falls behind refuses further ones; the rate is reported.
            while writing.len() >= MOST_IN_FLIGHT {
                writing.join_next().await.context("a status is being written")???;
            }
        }
        while let Some(written) = writing.join_next().await {
            written??;
        }
        Ok(count)
    }

    /// The status of the autoscaler whose turn it is.
    fn next(&self, lags: Lag) -> http::Request<Vec<u8>> {
        let number = self.number.replace(self.number.get() + 1);
        let (index, lag) = (number % self.autoscalers, lags(number, number / self.autoscalers));
        let path = format!("{}/status", self.workload.path(AUTOSCALER, index));
        let value = json!({"metric": {"name": self.metric}, "current": {"averageValue": lag.to_string()}});
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({"type": type_, "status": status, "reason": reason, "message": format!("write {number}: the lag is {lag}"),
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions = [
            condition("AbleToScale", "True", "ReadyForNewScale"),
            condition("ScalingActive", "True", "ValidMetricFound"),
            condition("ScalingLimited", "False", "DesiredWithinRange"),
        ];
        let metrics = [json!({"type": "Pods", "pods": value})];
        let status = json!({"currentReplicas": 1, "desiredReplicas": 1, "currentMetrics": metrics, "conditions": conditions});
        merge_patch(&path, &json!({"status": status}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_that_stay_are_within_a_factor_of_two() {
        assert!((0..1000).all(|number| (500..1000).contains(&still(number, 0))));
        assert_eq!([0, 1, 2].map(|round| moving(0, round)), [50_000, 500, 50_000]);
    }
}
