//! Random groups that the schema allows, on a real API server with the webhook, the controller and the
//! garbage collector: what is admitted gets its children, or its status says why not; it comes to rest;
//! nothing is left behind.
//!
//! A group follows the schema of the CRD and, in its pod template, that of Kubernetes ([`schema`]); most
//! values are ones that people write ([`known`], [`pods`]), so that a good share is admitted. The groups
//! come in batches ([`batch`]) and are judged at rest ([`judge`]).
//!
//! - `cargo test -p kcg-tests --test legal` runs some tens of objects. The seed is printed;
//!   `KCG_LEGAL_SEED=NUMBER` repeats it.
//! - `KCG_LONG=1 cargo test -p kcg-tests --test legal -- --nocapture` runs 10,000 objects and 10,000
//!   transitions; `KCG_LEGAL_OBJECTS=NUMBER` sets another count. `KCG_LEGAL_BATCH=NUMBER` begins at a
//!   later batch: with the seed, it continues a run or repeats what was found.
#![allow(clippy::unwrap_used, reason = "test code")]

mod batch;
mod groups;
mod judge;
mod known;
mod observer;
mod pods;
mod rig;
mod schema;
mod tally;

use std::time::{Duration, Instant};

use kcg_tests::{Outcome, is_long, measured, variable};

use batch::{Batch, Size};
use rig::Rig;
use tally::Tally;

/// The most that the operator's memory may grow for each 1,000 objects, in KiB, and between the first
/// batch and the last.
const MOST_SLOPE: f64 = 512.0;
const MOST_GROWTH: u64 = 64 << 10;
/// How many objects of a long run lie between two lines about its progress.
const STEP: usize = 250;

/// A random group is refused cleanly, or it comes to rest with its children or the reason why not.
#[tokio::test(flavor = "multi_thread")]
async fn random_legal_groups_get_their_children_come_to_rest_and_leave_nothing_behind() -> Outcome {
    let seed = variable("KCG_LEGAL_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let first: usize = variable("KCG_LEGAL_BATCH")?.unwrap_or_default();
    let size = if is_long() {
        Size { objects: 100, transitions: 100, quiet: Duration::from_secs(2) }
    } else {
        Size { objects: 20, transitions: 20, quiet: Duration::from_secs(1) }
    };
    let objects = variable("KCG_LEGAL_OBJECTS")?.unwrap_or(if is_long() { 10_000 } else { 40 });
    measured(&format!("KCG_LEGAL_SEED={seed}, {objects} objects"));
    let rig = Rig::start().await?;
    let (mut tally, began) = (Tally::default(), Instant::now());
    for number in first.. {
        Batch::new(&rig, &mut tally, seed, number, size).run(number).await?;
        if tally.objects % STEP < size.objects {
            let memory = tally.memory.last().map_or(0, |(_, kib)| *kib);
            measured(&format!("{} objects in {:.0?}, {memory} KiB", tally.objects, began.elapsed()));
        }
        if tally.objects >= objects || tally.has_enough() {
            break;
        }
    }
    measured(&tally.table());
    assert!(tally.findings.is_empty(), "{} findings:\n{}", tally.findings.len(), tally.findings.join("\n"));
    assert_eq!(rig.observer.count(), 0, "nothing is left of any group");
    assert!(tally.admitted * 4 >= tally.objects, "too few groups are admitted to show anything");
    let [start, end] = [tally.memory.first(), tally.memory.last()].map(|end| end.map_or(0, |(_, kib)| *kib));
    assert!(end <= start + MOST_GROWTH, "memory grew from {start} to {end} KiB");
    if let Some(slope) = tally.slope() {
        assert!(slope <= MOST_SLOPE, "memory grows by {slope:.0} KiB for each 1,000 objects");
    }
    Ok(())
}
