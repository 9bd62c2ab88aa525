//! Pods as local processes on a real control plane: the operator as shipped, and what other
//! pods expect of a node.
//!
//! `cargo test -p kcg-closed-loop --test node [FILTER]`. The image of most pods is this test
//! program itself; see `program`.

mod crash;
mod harness;
mod lifecycle;
mod program;
mod shipped;
mod unsupported;
mod volumes_and_env;

use std::process::ExitCode;
use std::sync::Arc;

use kcg_closed_loop::Programs;
use kcg_devcluster::{Tools, pod_network, tools};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use harness::{Harness, Outcome};

/// How many tests run in parallel.
const PARALLEL: usize = 4;

type Test = (&'static str, fn(&Runtime, &Harness) -> Outcome);

macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((stringify!($test), |runtime: &Runtime, harness: &Harness| runtime.block_on($module::$test(harness)))),+]
    };
}

const TESTS: [Test; 15] = tests![
    shipped::the_shipped_operator_runs_unchanged,
    crash::an_image_that_crashes_takes_no_running_consumer,
    volumes_and_env::a_service_has_the_pods_addresses_once_their_probe_passes,
    volumes_and_env::a_pod_gets_its_environment_files_and_token,
    volumes_and_env::a_changed_config_map_is_updated_in_the_pod,
    volumes_and_env::volumes_are_mounted_next_to_and_over_existing_files,
    volumes_and_env::a_pod_can_write_only_to_its_own_files,
    lifecycle::a_crashed_container_is_restarted_with_a_backoff,
    lifecycle::a_failing_liveness_probe_restarts_the_container,
    lifecycle::the_restart_policy_lets_a_pod_complete,
    lifecycle::a_deleted_pod_ends_within_its_grace_period,
    lifecycle::a_force_deleted_pod_ends,
    lifecycle::logs_are_followed_to_the_end,
    unsupported::an_unsupported_pod_is_reported_and_can_be_deleted,
    unsupported::a_pod_waits_for_its_volumes,
];

fn main() -> ExitCode {
    if let Some(code) = program::run_as_pod() {
        return code;
    }
    let arguments = Arguments { test_threads: Some(PARALLEL), ..Arguments::from_args() };
    if arguments.list {
        let listed = TESTS.map(|(name, _)| Trial::test(name, || Ok(())));
        return libtest_mimic::run(&arguments, listed.into()).exit_code();
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<ExitCode> {
    let runtime = Arc::new(Runtime::new()?);
    if !pod_network::is_inside() {
        // The pod network has no way out, so everything is fetched before.
        let programs = runtime.block_on(async {
            Tools::ensure(&tools::to_stderr).await?;
            Programs::build().await
        })?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let harness = Arc::new(runtime.block_on(Harness::start())?);
    let trials = TESTS.map(|(name, test)| {
        let (runtime, harness) = (Arc::clone(&runtime), Arc::clone(&harness));
        Trial::test(name, move || test(&runtime, &harness).map_err(|error| error.to_string().into()))
    });
    Ok(libtest_mimic::run(arguments, trials.into()).exit_code())
}
