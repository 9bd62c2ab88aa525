//! Resident memory: at the start, after bursts, after a restart, and while everything is listed again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kcg_devcluster::usage;

use super::{Bench, converge, progress};
use crate::cluster::Cluster;
use crate::contestant::{Contestant, Running};
use crate::options::Case;
use crate::report::{COUNT, RATIO, Row};
use crate::workload::Workload;

const CASE: &str = "memory";
/// In KiB.
const MOST_BASE: f64 = 12.0 * 1024.0;
/// In bytes.
const MOST_PER_GROUP: f64 = 4000.0;
/// The most memory during a new list, as a multiple of that at rest.
const MOST_PEAK: f64 = 1.3;
/// How long an API server may take to answer lists after its restart. An operator whose watches stream their
/// first objects sends no list.
const FIRST_LIST: Duration = Duration::from_mins(1);
/// How much later than the first one the other watches may list.
const OTHER_LISTS: Duration = Duration::from_secs(10);

/// Bytes of each group, from KiB of two numbers of groups.
fn per_group(more: f64, fewer: f64, groups: usize) -> f64 {
    (more - fewer) * 1024.0 / groups as f64
}

/// Starts the operator and lets it complete more and more groups.
pub(super) async fn grow(
    bench: &mut Bench<'_>,
    contestant: &Contestant,
    cluster: &Cluster,
) -> Result<Running> {
    let name = &contestant.name;
    let running = contestant.start(cluster)?;
    running.rest().await?;
    let row = |groups, what: &str, unit, value| {
        Row::new(CASE, groups, format!("{name}: {what}"), unit, vec![value])
    };
    let mut rows = vec![
        row(0, "resident at the start", "KiB", running.resident()?).at_most(MOST_BASE),
        row(0, "of it not the program's pages", "KiB", running.own()?),
    ];
    let (mut sizes, mut workload, mut resident) =
        (bench.options.groups.clone(), Workload::new("bench", 0), Vec::new());
    sizes.sort_unstable();
    sizes.dedup();
    for groups in sizes {
        workload = workload.grown_to(groups);
        progress(&format!("{name}: {groups} groups"));
        converge(cluster, &running, workload).await?;
        resident.push(running.resident()?);
        rows.push(row(groups, "resident after the burst", "KiB", running.resident()?));
        rows.push(row(groups, "of it not the program's pages", "KiB", running.own()?));
    }
    if let [first, .., last] = resident[..] {
        let groups = bench.options.most_groups() - bench.options.fewest_groups();
        let slope = per_group(last, first, groups);
        rows.push(row(workload.last, "for each group, after bursts", "bytes", slope).at_most(MOST_PER_GROUP));
    }
    if bench.options.runs(Case::Memory) {
        bench.add(rows)?;
    }
    Ok(running)
}

/// What a restarted operator needs, and how much more while the API server makes it list again.
pub(super) async fn after_restart(
    bench: &mut Bench<'_>,
    contestant: &Contestant,
    cluster: &Cluster,
) -> Result<()> {
    let (name, groups) = (&contestant.name, bench.options.most_groups());
    let empty = bench.cluster().await?;
    let running = contestant.start(&empty)?;
    running.rest().await?;
    let base = running.resident()?;
    running.stop().await?;
    drop(empty);

    let running = contestant.start(cluster)?;
    running.rest().await?;
    let (steady, first, own) = (running.resident()?, running.peak()?, running.own()?);
    usage::reset_peak(running.pid())?;
    cluster.restart_apiserver().await?;
    let restarted = Instant::now();
    while cluster.lists_of_groups().await? == 0.0 && restarted.elapsed() < FIRST_LIST {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(OTHER_LISTS).await;
    running.rest().await?;
    let lists = cluster.lists_of_groups().await?;
    ensure!(!contestant.is_ours() || lists > 0.0, "{name} did not list again");
    let (again, settled) = (running.peak()?, running.resident()?);
    let row = |what: &str, unit, value| Row::new(CASE, groups, format!("{name}: {what}"), unit, vec![value]);
    let rows = vec![
        row("resident after a restart", "KiB", steady),
        row("of it after a restart not the program's pages", "KiB", own),
        row("for each group, after a restart", "bytes", per_group(steady, base, groups))
            .at_most(MOST_PER_GROUP),
        row("peak of the first lists / at rest", RATIO, first / steady).at_most(MOST_PEAK),
        row("peak of the lists after a restart of the API server / before", RATIO, again / steady)
            .at_most(MOST_PEAK),
        row("resident after these lists", "KiB", settled),
        row("requests for these lists of groups", COUNT, lists),
    ];
    bench.add(rows)?;
    running.stop().await
}
