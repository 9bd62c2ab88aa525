//! What a person sees of bad input and of faults, on the story's own stage: every part real that the story has real.
//!
//! `cargo test -p kcg-closed-loop --test faults [FILTER]`. Each fault has a group and topics of its own, so most of them are
//! tried side by side; those that touch every group come after them, one by one.

mod dashboards;
mod group;
mod lag;
mod load;
mod outage;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use kcg_closed_loop::Programs;
use kcg_devcluster::{pod_network, tools};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use world::World;

type Test = (&'static str, fn(&Runtime, &World) -> Result<()>);

macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((stringify!($test), |runtime: &Runtime, world: &World| runtime.block_on($module::$test(world)))),+]
    };
}

const SIDE_BY_SIDE: [Test; 8] = tests![
    lag::a_wrong_port_is_named_with_its_cure,
    lag::a_consumer_without_metrics_is_told_apart_from_one_that_is_well,
    lag::consumers_that_show_another_metric_fire_an_alert,
    lag::a_refused_monitor_is_told_until_it_is_accepted_again,
    load::a_hot_partition_fires_while_the_average_is_within_the_limit,
    load::a_group_at_its_ceiling_and_behind_says_so,
    load::consumers_without_a_partition_are_named_and_fire_an_alert,
    dashboards::every_panel_of_both_dashboards_has_data,
];

const ONE_BY_ONE: [Test; 2] = tests![
    lag::an_adapter_without_the_rule_is_named_with_its_cure,
    outage::kafka_away_in_the_middle_of_a_load_loses_nothing_and_holds_the_ceiling,
];

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(SIDE_BY_SIDE.len()), ..Arguments::from_args() };
    if arguments.list {
        let listed = SIDE_BY_SIDE.into_iter().chain(ONE_BY_ONE);
        let trials = listed.map(|(name, _)| Trial::test(name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = Arc::new(Runtime::new()?);
    let programs = runtime.block_on(Programs::build())?;
    if !pod_network::is_inside() {
        // What is fetched is fetched before the network is left behind.
        runtime.block_on(kcg_closed_loop::tools::ensure(&tools::to_stderr))?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let world = Arc::new(runtime.block_on(World::start(&programs))?);
    // Many read it at once; who writes it is alone, and goes before those that come later.
    let gate = Arc::new(RwLock::new(()));
    let trial = |(name, test): Test, alone: bool| {
        let (runtime, world, gate) = (Arc::clone(&runtime), Arc::clone(&world), Arc::clone(&gate));
        Trial::test(name, move || {
            let (_alone, _together) =
                if alone { (Some(gate.blocking_write()), None) } else { (None, Some(gate.blocking_read())) };
            test(&runtime, &world).map_err(|error| format!("{error:#}").into())
        })
    };
    let together = SIDE_BY_SIDE.into_iter().map(|test| trial(test, false));
    let trials = together.chain(ONE_BY_ONE.into_iter().map(|test| trial(test, true))).collect();
    Ok(libtest_mimic::run(arguments, trials).exit_code())
}
