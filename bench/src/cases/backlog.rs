//! A new group while many others converge: the time from its creation until its five children exist.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, stream::select_all};
use serde_json::Value;
use tokio::time::timeout;

use super::{Bench, converge, progress};
use crate::cluster::Cluster;
use crate::contestant::Contestant;
use crate::kinds::{CHILDREN, GROUP, Kind, post};
use crate::observe::{Convergence, watch};
use crate::report::Row;
use crate::statistics::percentile;
use crate::workload::{Workload, group};

const CASE: &str = "backlog";
/// The groups that are measured, one after the other, as long as the others converge.
const FRESH: Workload = Workload::new("fresh", 1000);
/// In seconds.
const MOST: f64 = 1.0;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_mins(2);
/// The percentiles of a round that are reported.
const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("the longest", 1.0)];

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let groups = bench.options.most_groups();
    for contestant in bench.contestants.clone() {
        let mut figures: [Vec<f64>; 3] = Default::default();
        for round in 0..bench.options.rounds.min(3) {
            let times = measure(bench, &contestant, Workload::new("bench", groups)).await?;
            let found = PARTS.map(|(_, part)| percentile(&times, part));
            progress(&format!(
                "{}: backlog, round {}: {} new groups, the longest {:.2} s",
                contestant.name,
                round + 1,
                times.len(),
                found[2]
            ));
            figures.iter_mut().zip(found).for_each(|(figures, found)| figures.push(found));
        }
        let rows = figures.into_iter().zip(PARTS).map(|(samples, (part, _))| {
            let row =
                Row::new(CASE, groups, format!("{}: a new group, {part}", contestant.name), "s", samples);
            if contestant.is_ours() { row.at_most(MOST) } else { row }
        });
        bench.add(rows.collect())?;
    }
    Ok(())
}

/// The times of the fresh groups that were created while the others were created and completed.
async fn measure(bench: &Bench<'_>, contestant: &Contestant, others: Workload) -> Result<Vec<f64>> {
    let cluster = bench.cluster().await?;
    let running = contestant.start(&cluster)?;
    converge(&cluster, &running, Workload::new("early", 30)).await?;
    others.create_topics(&cluster.client).await?;
    FRESH.create_topics(&cluster.client).await?;
    running.rest().await?;
    let convergence = Convergence::begin(&cluster.client, others).await?;
    let converged = Cell::new(false);
    let others = async {
        others.create_groups(&cluster.client, None).await?;
        let (end, ()) = convergence.end(&cluster.client, || Ok(())).await?;
        converged.set(true);
        Ok(end)
    };
    let (end, fresh) = tokio::try_join!(others, fresh(&cluster, &converged))?;
    let during: Vec<f64> =
        fresh.into_iter().filter(|(created, _)| *created < end).map(|(_, took)| took).collect();
    ensure!(!during.is_empty(), "the other groups were complete before the first new one was created");
    Ok(during)
}

/// Creates new groups until the others have converged. When each was created, and how many seconds later its
/// children existed.
async fn fresh(cluster: &Cluster, converged: &Cell<bool>) -> Result<Vec<(Instant, f64)>> {
    let mut watches = Vec::new();
    for kind in CHILDREN {
        let events = watch(&cluster.client, kind).await?;
        watches.push(events.map(move |seen| seen.map(|seen| (kind, seen))).boxed());
    }
    let mut events = select_all(watches);
    let mut times = Vec::new();
    for index in (0..FRESH.last).take_while(|_| !converged.get()) {
        let (namespace, object) = (FRESH.namespace(index), FRESH.name(index));
        cluster.client.request::<Value>(post(&GROUP.in_namespace(&namespace), &group(&object))).await?;
        let created = Instant::now();
        let complete = async {
            let mut missing: BTreeSet<&str> = CHILDREN.iter().map(|kind: &Kind| kind.plural).collect();
            while !missing.is_empty() {
                let (kind, seen) = events.next().await.context("the watches ended")??;
                if (&seen.metadata.namespace, &seen.metadata.name) == (&namespace, &object) {
                    missing.remove(kind.plural);
                }
            }
            anyhow::Ok(())
        };
        timeout(LIMIT, complete).await.with_context(|| format!("{namespace}/{object} lacks children"))??;
        times.push((created, created.elapsed().as_secs_f64()));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}
