//! The simulated scenario: a real control plane, kubectl and operator; kwok simulates the pods, and
//! a stub serves the consumers' lag. It takes about half a minute.

mod scenario;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use kcg_devcluster::{CertificateMode, Interrupts, MetricsApi, TestCluster};

use crate::terminal::Terminal;

/// The exit code that shells use for a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Runs the scenario. With `keep`, leaves the cluster running until a signal arrives.
pub async fn run(keep: bool) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let Some(finished) = interrupts.unless(Box::pin(run_scenario())).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let (cluster, _metrics, terminal) = finished?;
    if keep {
        terminal.say(&format!(
            "The cluster keeps running until you press Ctrl-C. To use it from another terminal:\n\
             export KUBECONFIG={} PATH={}:$PATH",
            cluster.plane.kubeconfig_path().display(),
            cluster.plane.tools().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the cluster so that the caller can keep it running.
async fn run_scenario() -> Result<(TestCluster, MetricsApi, Terminal)> {
    let mut terminal = Terminal::new();
    terminal.heading("Start a Kubernetes control plane and the operator")?;
    terminal.say(
        "Real: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, and the operator's controller\n\
         and webhook under their own ServiceAccounts.\n\
         Simulated: the node and the pods (by kwok, without containers) and the consumers' lag (by a metrics stub).",
    )?;
    let started = Instant::now();
    let cluster = TestCluster::start(Some(CertificateMode::SelfManaged)).await?;
    let metrics = MetricsApi::start(&cluster.plane).await?;
    terminal.connect(&cluster.plane)?;
    terminal.say(&format!("Ready after {:.1} s.", started.elapsed().as_secs_f32()))?;
    scenario::run(&terminal, &metrics).await?;
    terminal.heading(&format!("Done in {} s", started.elapsed().as_secs()))?;
    Ok((cluster, metrics, terminal))
}
