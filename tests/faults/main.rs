//! Every fault at every request: a proxy between the operator and the API server injects it, and an
//! oracle that reads the API server directly judges what the operator makes of it. docs/faults.md has
//! the catalog.
//!
//! One run of a plan is a life of one or ten groups ([`life`]) with the faults of the plan ([`plan`]).
//! Many run side by side on one control plane, each with a namespace, a proxy and a process of the
//! operator of its own ([`rig`]).
//!
//! - `cargo test -p kcg-tests --test faults` runs a sample. `KCG_FAULT_SEED=NUMBER` repeats one.
//! - `KCG_LONG=1 cargo test -p kcg-tests --test faults every_fault` runs all plans. A run that was
//!   interrupted goes on where it stopped; target/tmp/faults has the results.
//! - `KCG_FAULT_PLAN='1 group | create services #1 kill after' cargo test -p kcg-tests --test faults
//!   every_fault` runs one plan, or several with `;` between them. `KCG_FAULT_PARALLEL=NUMBER` sets how many run at once.
//! - `KCG_LONG=1 cargo test -p kcg-tests --test faults a_million` makes changes until there were a million events, with random
//!   faults, in one life of a process ([`soak`]).

mod campaign;
mod catalog;
mod events;
mod faults;
mod life;
mod log;
mod oracle;
mod paused_leader;
mod plan;
mod proxy;
mod recorder;
mod request;
mod rig;
mod run;
mod soak;
mod supervisor;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kcg_tests::{Outcome, is_long, measured, variable};

use campaign::{Finished, Ledger, folder, report, run_all, too_many_missed};
use oracle::Clean;
use plan::Plan;
use rig::Rig;

/// How long the sample begins new plans; the last ones then take half a minute.
const SAMPLE: Duration = Duration::from_mins(1);
const SIDE_BY_SIDE: usize = 12;

/// Two clean runs, which have to make the same requests.
async fn learn(rig: &Rig, groups: usize) -> Result<Clean> {
    let (first, second) = tokio::try_join!(run::learn(rig, groups), run::learn(rig, groups))?;
    for (step, (one, other)) in life::Step::ALL.iter().zip(first.states.iter().zip(&second.states)) {
        let difference = recorder::difference(one, other);
        ensure!(difference.is_none(), "two clean runs differ after {step:?}: {difference:?}");
    }
    let counts = |clean: &Clean| {
        let counts = clean.counts.clone().into_iter().filter(|(id, _)| !id.is_periodic());
        counts.collect::<BTreeMap<_, _>>()
    };
    // Of several groups, some share a status write with the next step.
    let (one, other) = (counts(&first), counts(&second));
    ensure!(groups > 1 || one == other, "two clean runs made other requests: {one:?} and {other:?}");
    Ok(first)
}

fn all_plans(clean: &BTreeMap<usize, Clean>) -> Result<Vec<Plan>> {
    let mut plans = catalog::rows()?;
    plans.extend(clean.iter().flat_map(|(groups, clean)| catalog::exhaustive(*groups, &clean.counts)));
    Ok(plans)
}

async fn sample(rig: &Arc<Rig>, side_by_side: usize) -> Result<Vec<Finished>> {
    let clean = BTreeMap::from([(1, learn(rig, 1).await.context("learn")?)]);
    let seed = variable("KCG_FAULT_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let mut plans = all_plans(&clean)?;
    fastrand::Rng::with_seed(seed).shuffle(&mut plans);
    let total = plans.len();
    let deadline = Instant::now() + SAMPLE;
    let all = run_all(rig, &clean, plans, side_by_side, Some(deadline), None).await?;
    measured(&format!("{} of {total} plans, KCG_FAULT_SEED={seed}", all.len()));
    Ok(all)
}

/// Runs plans with a semicolon between them.
async fn chosen(rig: &Arc<Rig>, plans: &str, side_by_side: usize) -> Result<Vec<Finished>> {
    let plans = plans.split(';').map(str::parse).collect::<Result<Vec<Plan>>>()?;
    let mut clean = BTreeMap::new();
    for groups in plans.iter().map(|plan| plan.groups).collect::<BTreeSet<_>>() {
        clean.insert(groups, learn(rig, groups).await.context("learn")?);
    }
    run_all(rig, &clean, plans, side_by_side, None, None).await
}

async fn everything(rig: &Arc<Rig>, side_by_side: usize) -> Result<Vec<Finished>> {
    let mut clean = BTreeMap::new();
    for groups in [1, 10] {
        clean.insert(groups, learn(rig, groups).await.context("learn")?);
    }
    let (began, ledger) = (Instant::now(), Ledger::open(&folder()).await?);
    let all = run_all(rig, &clean, all_plans(&clean)?, side_by_side, None, Some(&ledger)).await?;
    let text = report(&all, began.elapsed());
    std::fs::write(folder().join("report.md"), &text)?;
    measured(&text);
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_request_leaves_the_promises_intact() -> Outcome {
    let rig = Rig::start().await?;
    let side_by_side = variable("KCG_FAULT_PARALLEL")?.unwrap_or(SIDE_BY_SIDE);
    let all = match variable::<String>("KCG_FAULT_PLAN")? {
        Some(plans) => chosen(&rig, &plans, side_by_side).await?,
        None if is_long() => everything(&rig, side_by_side).await?,
        None => sample(&rig, side_by_side).await?,
    };
    assert!(!all.is_empty(), "no plan was run");
    let failed: Vec<_> = all.iter().filter(|finished| finished.failed()).collect();
    assert!(failed.is_empty(), "{} of {} plans failed: {failed:#?}", failed.len(), all.len());
    let missed = too_many_missed(&all);
    assert!(missed.is_none(), "of {} plans too many met no request: {missed:#?}", all.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_events_and_faults_leave_memory_files_and_tasks_as_they_were() -> Outcome {
    let seed = variable("KCG_FAULT_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    soak::soak(seed).await.with_context(|| format!("KCG_FAULT_SEED={seed}"))?;
    Ok(())
}
