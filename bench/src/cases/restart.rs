//! A restart with nothing to do, next to a program that lists and parses the same kinds.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use kcg_devcluster::usage;
use kube::Client;
use serde::de::IgnoredAny;

use super::{Bench, progress};
use crate::cluster::Cluster;
use crate::contestant::{Contestant, OURS};
use crate::kinds::WATCHED;
use crate::observe::{list, versions, written};
use crate::report::{COUNT, RATIO, Row};
use crate::statistics::{order, ratios};

const CASE: &str = "restart";
/// The time to readiness, as a multiple of the floor's.
const MOST_TIME: f64 = 1.3;
/// Milliseconds to readiness without groups, beyond the API server's own answers.
const MOST_START: f64 = 50.0;
/// Bytes of the program.
const MOST_BINARY: f64 = 15e6;
/// The CPU time, as a multiple of another operator's.
const MOST_CPU: f64 = 0.5;
const OWN_CPU: &str = "its own CPU until it rests";

/// Starts without a group, and the size of the program.
pub(super) async fn empty(bench: &mut Bench<'_>) -> Result<()> {
    let (contestant, cluster) = (bench.ours().clone(), bench.cluster().await?);
    let [mut starts, mut lists] = [Vec::new(), Vec::new()];
    // A new API server does not yet serve every CRD that it has accepted.
    start(&contestant, &cluster).await?;
    for round in 0..bench.options.rounds {
        for index in order(2, round) {
            if index == 0 {
                starts.push(start(&contestant, &cluster).await?);
            } else {
                lists.push(list_all(&cluster).await?.0 * 1000.0);
            }
        }
    }
    let size = std::fs::metadata(&contestant.program).context("the program's size")?.len();
    let beyond = starts.iter().zip(&lists).map(|(start, list)| start - list).collect();
    let row = |what: &str, unit, samples| Row::new(CASE, 0, what, unit, samples);
    bench.add(vec![
        row("operator: start to /readyz", "ms", starts),
        row("floor: list and parse", "ms", lists),
        row("operator - floor", "ms", beyond).at_most(MOST_START),
        row("operator: size of the program in bytes", COUNT, vec![size as f64]).at_most(MOST_BINARY),
    ])
}

/// Milliseconds from the start to readiness.
async fn start(contestant: &Contestant, cluster: &Cluster) -> Result<f64> {
    let running = contestant.start(cluster)?;
    let ready = running.ready().await?.as_secs_f64() * 1000.0;
    running.stop().await?;
    Ok(ready)
}

/// Restarts with groups that are complete.
pub(super) async fn with_groups(
    bench: &mut Bench<'_>,
    contestant: &Contestant,
    cluster: &Cluster,
) -> Result<()> {
    let (name, groups) = (&contestant.name, bench.options.most_groups());
    let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..bench.options.rounds {
        for index in order(2, round) {
            let mut add = |what, value| samples.entry(what).or_default().push(value);
            if index == 1 {
                let (seconds, cpu) = list_all(cluster).await?;
                add("floor: list and parse", seconds);
                add("floor: its own CPU", cpu);
                continue;
            }
            let before = versions(&cluster.client).await?;
            let running = contestant.start(cluster)?;
            if contestant.has_probes() {
                add("ready", running.ready().await?.as_secs_f64());
            }
            running.rest().await?;
            add("cpu", running.cpu()?);
            running.stop().await?;
            let writes = written(&before, &versions(&cluster.client).await?);
            progress(&format!("{name}: restart {} with {groups} groups, {writes} writes", round + 1));
            add("writes", writes as f64);
        }
    }
    let mut take = |what: &str| samples.remove(what).unwrap_or_default();
    let (ready, cpu, writes) = (take("ready"), take("cpu"), take("writes"));
    let (list, list_cpu) = (take("floor: list and parse"), take("floor: its own CPU"));
    let row = |what: String, unit, samples| Row::new(CASE, groups, what, unit, samples);
    let mut rows = vec![row(format!("{name}: writes"), COUNT, writes).at_most(0.0)];
    if contestant.is_ours() {
        let ratio = ratios(&ready, &list);
        rows.push(row(format!("{name}: start to /readyz"), "s", ready));
        rows.push(row("floor: list and parse".to_owned(), "s", list));
        rows.push(row(format!("{name} / floor: time"), RATIO, ratio).at_most(MOST_TIME));
        rows.push(row("floor: its own CPU".to_owned(), "CPU-s", list_cpu));
    }
    rows.push(row(format!("{name}: {OWN_CPU}"), "CPU-s", cpu));
    bench.add(rows)
}

/// The CPU time of our restarts next to that of the other operators.
pub(super) fn compare(bench: &mut Bench<'_>) -> Result<()> {
    let groups = bench.options.most_groups();
    let cpu = |name: &str| bench.report.samples(CASE, &format!("{name}: {OWN_CPU}"));
    let Some(ours) = cpu(OURS) else { return Ok(()) };
    let peers = bench.contestants.iter().filter(|contestant| !contestant.is_ours());
    let rows = peers.filter_map(|peer| {
        let ratio = ratios(ours, cpu(&peer.name)?);
        Some(
            Row::new(CASE, groups, format!("{OURS} / {}: own CPU", peer.name), RATIO, ratio)
                .at_most(MOST_CPU),
        )
    });
    let rows = rows.collect();
    bench.add(rows)
}

/// Lists every kind that the operator watches, all at once, as it does, and parses the objects. Seconds, and
/// CPU seconds of this process.
async fn list_all(cluster: &Cluster) -> Result<(f64, f64)> {
    // A new process has no connections either.
    let client = cluster.plane.client().await?;
    let (cpu, began) = (own_cpu(), Instant::now());
    try_join_all(WATCHED.into_iter().map(|kind| parsed(&client, kind))).await?;
    Ok((began.elapsed().as_secs_f64(), own_cpu() - cpu))
}

async fn parsed(client: &Client, kind: crate::kinds::Kind) -> Result<usize> {
    Ok(list::<IgnoredAny>(client, kind, kind.selector).await?.0.len())
}

fn own_cpu() -> f64 {
    usage::cpu_seconds(std::process::id()).unwrap_or_default()
}
