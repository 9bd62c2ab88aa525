//! Pods as local processes on a real control plane: the operator exactly as it is shipped, and what else a pod expects of
//! its node.
//!
//! `cargo test -p kcg-closed-loop --test node [FILTER]`. The image of most pods stands for this very program, see `program`.

mod life;
mod program;
mod shipped;
mod surroundings;
mod trouble;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use kcg_closed_loop::Programs;
use kcg_devcluster::{Tools, pod_network, tools};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use world::{Outcome, World};

/// How many tests run side by side.
const SIDE_BY_SIDE: usize = 4;

type Test = (&'static str, fn(&Runtime, &World) -> Outcome);

macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((stringify!($test), |runtime: &Runtime, world: &World| runtime.block_on($module::$test(world)))),+]
    };
}

const TESTS: [Test; 14] = tests![
    shipped::the_shipped_operator_runs_as_it_is,
    surroundings::a_service_has_the_pods_addresses_once_their_probe_passes,
    surroundings::environment_files_and_token_arrive,
    surroundings::a_changed_config_map_arrives,
    surroundings::volumes_find_a_place_beside_and_over_what_this_computer_has,
    surroundings::only_what_is_the_pods_own_can_be_written,
    life::a_crash_starts_the_container_again_then_backs_off,
    life::a_failing_liveness_probe_starts_the_container_again,
    life::the_restart_policy_lets_a_pod_complete,
    life::a_deleted_pod_has_its_grace_period_and_no_more,
    life::a_pod_taken_out_of_the_api_ends,
    life::logs_are_followed_to_the_end,
    trouble::what_the_node_cannot_run_is_said_and_can_be_deleted,
    trouble::a_pod_waits_for_what_it_mounts,
];

fn main() -> ExitCode {
    if let Some(code) = program::run_as_one() {
        return code;
    }
    let arguments = Arguments { test_threads: Some(SIDE_BY_SIDE), ..Arguments::from_args() };
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
        // What is fetched is fetched before the network is left behind.
        let programs = runtime.block_on(async {
            Tools::ensure(&tools::to_stderr).await?;
            Programs::build().await
        })?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let world = Arc::new(runtime.block_on(World::start())?);
    let trials = TESTS.map(|(name, test)| {
        let (runtime, world) = (Arc::clone(&runtime), Arc::clone(&world));
        Trial::test(name, move || test(&runtime, &world).map_err(|error| error.to_string().into()))
    });
    Ok(libtest_mimic::run(arguments, trials.into()).exit_code())
}
