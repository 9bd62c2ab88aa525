//! The operator end to end, on a real control plane, as it ships: its roles, its registrations, its two processes.
//!
//! One cluster serves all tests, each in a namespace of its own, most of them side by side. What changes the
//! cluster for everybody stands apart: before (neighbours that are not there yet) and after (replicas that end, a
//! webhook that is away, hundreds of groups). Last of all the audit log is held against the shipped roles.
//!
//! `cargo test -p kcg-tests --test end_to_end [FILTER]`; with `KCG_DEVCLUSTER_LOGS=FOLDER` the logs are kept.

mod cases;
mod env;

mod admission;
mod children;
mod columns;
mod conflicts;
mod contention;
mod drift;
mod foreign;
mod handover;
mod health;
mod invalid;
mod many_groups;
mod neighbours;
mod original;
mod paused;
mod replicas;
mod rights;
mod spec_changes;
mod topic_changes;
mod topics;
mod webhook_away;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use tokio::runtime::Runtime;

use cases::{Case, is_chosen, trials};
use env::SharedEnv;

/// How many tests run side by side; more would only make each of them slower.
const SIDE_BY_SIDE: usize = 4;

/// In the order in which they run: how many at a time, and which.
fn phases() -> Vec<(usize, Vec<Case>)> {
    let side_by_side = [
        original::cases(),
        columns::cases(),
        children::cases(),
        drift::cases(),
        foreign::cases(),
        spec_changes::cases(),
        replicas::cases(),
        topics::cases(),
        topic_changes::cases(),
        conflicts::cases(),
        contention::cases(),
        paused::cases(),
        health::cases(),
        invalid::cases(),
        admission::cases(),
    ];
    let alone = [handover::cases(), webhook_away::cases(), many_groups::cases(), rights::cases()];
    vec![
        (1, neighbours::cases()),
        (SIDE_BY_SIDE, side_by_side.into_iter().flatten().collect()),
        (1, alone.into_iter().flatten().collect()),
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        let all = phases().into_iter().flat_map(|(_, cases)| cases);
        return libtest_mimic::run(&arguments, all.map(Case::listed).collect()).exit_code();
    }
    let all = arguments.filter.is_none() && arguments.skip.is_empty();
    let runs = |case: &Case| is_chosen(case, &arguments) && (all || case.name != rights::NEEDS_ALL);
    let chosen: Vec<(usize, Vec<Case>)> = phases()
        .into_iter()
        .map(|(threads, cases)| (threads, cases.into_iter().filter(&runs).collect()))
        .collect();
    if chosen.iter().all(|(_, cases)| cases.is_empty()) {
        return ExitCode::SUCCESS;
    }
    match Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| run(&runtime, &arguments, chosen)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("end_to_end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all passed.
fn run(runtime: &Runtime, arguments: &Arguments, phases: Vec<(usize, Vec<Case>)>) -> anyhow::Result<bool> {
    // The first phase is about neighbours that come later; without it they are there from the start.
    let neighbours = phases[0].1.is_empty();
    let env = runtime.block_on(SharedEnv::start(neighbours))?;
    let mut passed = true;
    for (threads, cases) in phases.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let arguments = Arguments { test_threads: Some(threads), ..arguments.clone() };
        passed &= !libtest_mimic::run(&arguments, trials(cases, &env, runtime)).has_failed();
    }
    eprintln!("{}", env.summary());
    Ok(passed)
}
