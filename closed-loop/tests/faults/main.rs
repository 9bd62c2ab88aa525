//! How the operator reports bad input and faults to a user, in the environment of the scenarios.
//!
//! `cargo test -p kcg-closed-loop --test faults [FILTER]`. Each test has its own group and topics,
//! so most tests run in parallel. The tests that affect every group run after them, one by one.

mod consumer;
mod dashboards;
mod group;
mod harness;
mod lag;
mod load;
mod membership;
mod outage;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use kcg_closed_loop::Programs;
use kcg_closed_loop::tools::consumers::{JMX, SPRING};
use kcg_devcluster::pod_network;
use kcg_devcluster::tools::to_stderr;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use harness::Harness;

type Test = (&'static str, fn(&Runtime, &Harness) -> Result<()>);

macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((stringify!($test), |runtime: &Runtime, harness: &Harness| runtime.block_on($module::$test(harness)))),+]
    };
}

const PARALLEL: [Test; 12] = tests![
    consumer::a_hung_consumer_in_rust_fires_an_alert,
    consumer::a_hung_spring_application_fires_an_alert,
    consumer::a_hung_consumer_with_the_jmx_exporter_fires_an_alert,
    lag::a_wrong_port_is_reported_with_its_cure,
    lag::a_consumer_without_metrics_is_reported_as_missing_metrics,
    lag::consumers_that_show_another_metric_fire_an_alert,
    lag::a_rejected_monitor_is_reported_until_it_is_accepted_again,
    load::a_hot_partition_fires_an_alert_while_the_average_lag_is_within_the_limit,
    load::a_lagging_group_at_its_ceiling_is_reported,
    load::consumers_without_a_partition_are_reported_and_fire_an_alert,
    membership::static_members_delay_a_rollout_by_two_sessions_and_lose_no_record,
    dashboards::every_panel_of_both_dashboards_has_data,
];

const SEQUENTIAL: [Test; 2] = tests![
    lag::an_adapter_without_the_rule_is_reported_with_its_cure,
    outage::a_kafka_outage_under_load_loses_no_record_and_keeps_the_ceiling,
];

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(PARALLEL.len()), ..Arguments::from_args() };
    if arguments.list {
        let listed = PARALLEL.into_iter().chain(SEQUENTIAL);
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
        // The pod network has no way out, so everything is fetched before.
        runtime.block_on(kcg_closed_loop::tools::ensure(&[SPRING, JMX], &to_stderr))?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let harness = Arc::new(runtime.block_on(Harness::start(&programs))?);
    // Parallel tests read it; a sequential test writes it, and goes before those that come later.
    let gate = Arc::new(RwLock::new(()));
    let trial = |(name, test): Test, alone: bool| {
        let (runtime, harness, gate) = (Arc::clone(&runtime), Arc::clone(&harness), Arc::clone(&gate));
        Trial::test(name, move || {
            let (_alone, _together) =
                if alone { (Some(gate.blocking_write()), None) } else { (None, Some(gate.blocking_read())) };
            test(&runtime, &harness).map_err(|error| format!("{error:#}").into())
        })
    };
    let together = PARALLEL.into_iter().map(|test| trial(test, false));
    let trials = together.chain(SEQUENTIAL.into_iter().map(|test| trial(test, true))).collect();
    Ok(libtest_mimic::run(arguments, trials).exit_code())
}
