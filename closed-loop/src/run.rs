//! One run of the program: from nothing to the report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use kcg_demo::terminal::Terminal;
use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{Interrupts, pod_network};

use crate::consumer::Consumer;
use crate::environment::Environment;
use crate::metrics::{GroupMetrics, group_rows, operator_rows};
use crate::programs::Programs;
use crate::results::Results;
use crate::runner::Runner;
use crate::settings::{Scenario, Settings};
use crate::{report, scenario, tools};

/// The exit code of a command that Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs a scenario and writes its report to `folder`. With `keep`, the cluster stays until Ctrl-C.
///
/// Outside the pod network, it first fetches and builds what is needed, then starts this program
/// again inside.
pub async fn run(settings: Settings, folder: &Path, keep: bool) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let Some(finished) = interrupts.unless(Box::pin(execute(settings, folder))).await else {
        eprintln!("closed-loop: stopped; there is no report");
        return Ok(INTERRUPTED.into());
    };
    let runner = finished?;
    if keep {
        runner.print(&format!(
            "The cluster stays until Ctrl-C: {} env KUBECONFIG={} {}/kubectl get pods",
            pod_network::enter_command(),
            runner.environment.plane.kubeconfig_path().display(),
            runner.environment.plane.tools().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the runner, so that the caller can keep its cluster.
async fn execute(settings: Settings, folder: &Path) -> Result<Runner> {
    if !pod_network::is_inside() {
        report::check_folder(folder)?;
        let java: Vec<_> = settings.consumers().into_iter().filter_map(Consumer::java).collect();
        tools::ensure(&java, &to_stderr).await?;
        return Err(pod_network::enter(&Programs::build().await?.variables()).into());
    }
    let programs = Programs::build().await?;
    let terminal = Terminal::new();
    terminal.heading("The environment starts")?;
    let environment = Environment::start(&settings, &programs, |line| terminal.say(line)).await?;
    let scenario = settings.scenario;
    let mut runner =
        Runner::start(settings, environment, terminal, scenario::subscriptions(scenario)).await?;
    let (results, page) = match scenario {
        Scenario::Single => report_one(Box::pin(scenario::single::run(&mut runner)).await?, folder)?,
        Scenario::Scale => report_one(Box::pin(scenario::scale::run(&mut runner)).await?, folder)?,
        Scenario::Comparison => {
            let [first, second] = Box::pin(scenario::compare::run(&mut runner)).await?;
            let title = "The same load with Kubernetes' defaults and with the operator's";
            let page = report::write_comparison(folder, title, [&first, &second])?;
            (vec![first, second], page)
        }
    };
    summarize(&mut runner, &results, &page)?;
    for consumer in runner.settings.other_consumers() {
        runner = runner.observe_others(scenario::round::subscriptions(consumer)).await?;
        let results = Box::pin(scenario::round::run(&mut runner, consumer)).await?;
        let (results, page) = report_one(results, &folder.join(scenario::round::group(consumer)))?;
        summarize(&mut runner, &results, &page)?;
    }
    Ok(runner)
}

fn report_one(results: Results, folder: &Path) -> Result<(Vec<Results>, PathBuf)> {
    let page = report::write(folder, &results)?;
    Ok((vec![results], page))
}

/// Prints the metrics and the report's path. Fails if a record was lost, whatever else went well.
fn summarize(runner: &mut Runner, results: &[Results], page: &Path) -> Result<()> {
    runner.step(&format!("The end, after {:.0} s", runner.clock.now()))?;
    let groups = || results.iter().flat_map(|results| &results.metrics.groups);
    for group in groups() {
        runner.print(&format!("Group {}", group.name))?;
        for row in group_rows(group) {
            runner.print(&format!("{:<44} {}", row.name, row.text()))?;
        }
    }
    let operator = results.last().and_then(|results| results.metrics.operator);
    for row in operator.iter().flat_map(operator_rows) {
        runner.print(&format!("{:<44} {}", row.name, row.text()))?;
    }
    let page = std::path::absolute(page)?;
    runner.print(&format!("The report, with plots: {}", page.display()))?;
    let lost: Vec<String> = groups().filter_map(GroupMetrics::loss).collect();
    ensure!(lost.is_empty(), "{}", lost.join("; "));
    Ok(())
}
