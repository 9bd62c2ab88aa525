//! From a topic's new partitions to its group's autoscaler, next to a bare watch and a bare patch.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{Stream, StreamExt as _};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Bench, progress};
use crate::cluster::Cluster;
use crate::contestant::Contestant;
use crate::kinds::{AUTOSCALER, TOPIC, merge_patch};
use crate::observe::{Seen, watch};
use crate::report::{RATIO, Row};
use crate::statistics::{percentile, ratios};
use crate::workload::{PARTITIONS, Workload};

const CASE: &str = "topic-lag";
/// Samples of each kind in a round.
const SAMPLES: usize = 100;
/// Between two samples. An operator writes more than the autoscaler for a topic; that must be over.
const PAUSE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
/// The median and the 99th percentile, as multiples of the floor's. Both include the raw watch and patch.
const MOST: [f64; 2] = [1.0, 1.0];

pub(super) async fn run(bench: &mut Bench<'_>, contestant: &Contestant, cluster: &Cluster) -> Result<()> {
    let groups = bench.options.most_groups();
    let workload = Workload::new("bench", groups);
    let mut pair = Pair {
        client: cluster.client.clone(),
        workload,
        autoscalers: watch(&cluster.client, AUTOSCALER).await?,
        topics: watch(&cluster.client, TOPIC).await?,
    };
    let [mut medians, mut tails] = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for round in 0..bench.options.rounds {
        let [mut ours, mut raw] = [Vec::new(), Vec::new()];
        for sample in 0..SAMPLES {
            let index = sample % groups;
            // Partitions only grow.
            let partitions =
                PARTITIONS + 1 + i64::try_from(round * SAMPLES.div_ceil(groups) + sample / groups)?;
            if sample.is_multiple_of(2) {
                ours.push(pair.ours(index, partitions).await?);
                raw.push(pair.raw(index, round * SAMPLES + sample).await?);
            } else {
                raw.push(pair.raw(index, round * SAMPLES + sample).await?);
                ours.push(pair.ours(index, partitions).await?);
            }
        }
        progress(&format!(
            "{}: topic lag, round {}: p50 {:.1} ms",
            contestant.name,
            round + 1,
            percentile(&ours, 0.5)
        ));
        for (samples, side) in [(ours, 0), (raw, 1)] {
            medians[side].push(percentile(&samples, 0.5));
            tails[side].push(percentile(&samples, 0.99));
        }
    }
    let name = &contestant.name;
    let row = |what: String, unit, samples| Row::new(CASE, groups, what, unit, samples);
    let mut rows = Vec::new();
    for (figure, samples, most) in [("p50", medians, MOST[0]), ("p99", tails, MOST[1])] {
        let ratio = ratios(&samples[0], &samples[1]);
        let [ours, raw] = samples;
        rows.push(row(format!("{name}: {figure}"), "ms", ours));
        rows.push(row(format!("floor next to {name}: {figure}"), "ms", raw));
        let ratio = row(format!("{name} / floor: {figure}"), RATIO, ratio);
        rows.push(if contestant.is_ours() { ratio.at_most(most) } else { ratio });
    }
    bench.add(rows)
}

/// Measures both ways from a topic to an autoscaler.
struct Pair<W> {
    client: Client,
    workload: Workload,
    autoscalers: W,
    topics: W,
}

impl<W: Stream<Item = Result<Seen>> + Unpin> Pair<W> {
    /// Milliseconds until the autoscaler has the topic's new number of partitions as its maximum.
    async fn ours(&mut self, index: usize, partitions: i64) -> Result<f64> {
        let began = Instant::now();
        self.patch(TOPIC, index, &json!({"spec": {"partitions": partitions}})).await?;
        self.autoscaler(index, |seen| seen.max_replicas() == partitions).await?;
        let took = milliseconds(began);
        tokio::time::sleep(PAUSE).await;
        Ok(took)
    }

    /// The same way without an operator: a watch of the topics sees a change, a patch of the autoscaler
    /// follows.
    async fn raw(&mut self, index: usize, mark: usize) -> Result<f64> {
        let (mark, workload) = (mark.to_string(), self.workload);
        let patch = json!({"metadata": {"annotations": {"bench": mark}}});
        let is_marked = |seen: &Seen| seen.metadata.annotations.get("bench") == Some(&mark);
        let began = Instant::now();
        self.patch(TOPIC, index, &patch).await?;
        next(&mut self.topics, workload, index, is_marked).await?;
        self.patch(AUTOSCALER, index, &patch).await?;
        self.autoscaler(index, is_marked).await?;
        let took = milliseconds(began);
        tokio::time::sleep(PAUSE).await;
        Ok(took)
    }

    async fn patch(&self, kind: crate::kinds::Kind, index: usize, patch: &Value) -> Result<()> {
        self.client.request::<Value>(merge_patch(&self.workload.path(kind, index), patch)).await?;
        Ok(())
    }

    async fn autoscaler(&mut self, index: usize, is_wanted: impl Fn(&Seen) -> bool) -> Result<()> {
        next(&mut self.autoscalers, self.workload, index, is_wanted).await
    }
}

/// Waits for an event of one object.
async fn next(
    events: &mut (impl Stream<Item = Result<Seen>> + Unpin),
    workload: Workload,
    index: usize,
    is_wanted: impl Fn(&Seen) -> bool,
) -> Result<()> {
    let (namespace, object) = (workload.namespace(index), workload.name(index));
    let wait = async {
        loop {
            let seen = events.next().await.context("the watch ended")??;
            if (&seen.metadata.namespace, &seen.metadata.name) == (&namespace, &object) && is_wanted(&seen) {
                return Ok(());
            }
        }
    };
    timeout(LIMIT, wait).await.with_context(|| format!("{namespace}/{object} did not change in time"))?
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
