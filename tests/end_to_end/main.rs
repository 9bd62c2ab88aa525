//! The operator end to end, on a real control plane, as it ships: its roles, its webhook
//! configurations, its two processes.
//!
//! All tests share one cluster. Each has its own namespace, and most run in parallel. Tests that
//! affect the whole cluster run alone: before the others (integrations that are installed late) and
//! after them (replicas that end, no webhook, an upgrade, hundreds of groups). Last, the audit log is compared
//! with the shipped roles.
//!
//! `cargo test -p kcg-tests --test end_to_end [FILTER]`; `KCG_DEVCLUSTER_LOGS=FOLDER` keeps the
//! logs.

mod cases;
mod env;

mod admission;
mod children;
mod columns;
mod conflicts;
mod contention;
mod drift;
mod events;
mod foreign_fields;
mod handover;
mod health;
mod integrations;
mod invalid;
mod kstatus;
mod lag;
mod many_groups;
mod metric_rules;
mod mistaken_pods;
mod original;
mod other_webhooks;
mod paused;
mod pod_rules;
mod pod_security;
mod refusals;
mod render;
mod replicas;
mod rights;
mod rollout;
mod spec_changes;
mod topic_changes;
mod topics;
mod upgrade;
mod without_webhook;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use tokio::runtime::Runtime;

use cases::{Case, is_chosen, trials};
use env::SharedEnv;

/// How many tests run in parallel; more would only make each of them slower.
const IN_PARALLEL: usize = 4;

/// The tests in the order in which they run, with the number that runs at a time.
fn phases() -> Vec<(usize, Vec<Case>)> {
    let in_parallel = [
        metric_rules::cases(),
        original::cases(),
        columns::cases(),
        children::cases(),
        drift::cases(),
        foreign_fields::cases(),
        spec_changes::cases(),
        replicas::cases(),
        topics::cases(),
        topic_changes::cases(),
        conflicts::cases(),
        contention::cases(),
        paused::cases(),
        health::cases(),
        rollout::cases(),
        kstatus::cases(),
        lag::cases(),
        events::cases(),
        invalid::cases(),
        admission::cases(),
        pod_rules::cases(),
        pod_security::cases(),
        refusals::cases(),
        mistaken_pods::cases(),
        render::cases(),
        other_webhooks::cases(),
    ];
    let alone = [
        handover::cases(),
        without_webhook::cases(),
        upgrade::cases(),
        many_groups::cases(),
        rights::cases(),
    ];
    vec![
        (1, integrations::cases()),
        (IN_PARALLEL, in_parallel.into_iter().flatten().collect()),
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

/// Returns whether all passed.
fn run(runtime: &Runtime, arguments: &Arguments, phases: Vec<(usize, Vec<Case>)>) -> anyhow::Result<bool> {
    // The first phase installs the integrations; without it they are installed from the start.
    let integrations = phases[0].1.is_empty();
    let env = runtime.block_on(SharedEnv::start(integrations))?;
    let mut passed = true;
    for (threads, cases) in phases.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let arguments = Arguments { test_threads: Some(threads), ..arguments.clone() };
        passed &= !libtest_mimic::run(&arguments, trials(cases, &env, runtime)).has_failed();
    }
    eprintln!("{}", env.summary());
    Ok(passed)
}
