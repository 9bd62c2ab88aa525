//! The story in half a minute: the cluster, kubectl and the operator are the real ones; the pods are kwok's, and
//! the consumers' lag is a simulation.

mod story;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use kcg_devcluster::{Certificates, Interrupts, MetricsApi, Site};

use crate::terminal::Terminal;

pub async fn demonstrate(keep: bool) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let outcome = interrupts.unless(Box::pin(tell())).await;
    let Some(site) = outcome else {
        return Ok(ExitCode::from(130));
    };
    let (site, _metrics, terminal) = site?;
    if keep {
        terminal.say(&format!(
            "The cluster stays until Ctrl-C: export KUBECONFIG={} PATH={}:$PATH",
            site.plane.kubeconfig_path().display(),
            site.plane.parts().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cluster is handed back, so that it may be kept.
async fn tell() -> Result<(Site, MetricsApi, Terminal)> {
    let mut terminal = Terminal::new();
    terminal.heading("A real control plane starts, and the operator in it")?;
    terminal.say(
        "etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs; the operator's two\n\
         processes run under their own ServiceAccounts. The node and the pods are kwok's: they have no containers.\n\
         So the consumers' lag is simulated, too. What is done about it is not.",
    )?;
    let started = Instant::now();
    let site = Site::start(Some(Certificates::SelfManaged)).await?;
    let metrics = MetricsApi::start(&site.plane).await?;
    terminal.connect(&site.plane)?;
    terminal.say(&format!("(ready after {:.1} s)", started.elapsed().as_secs_f32()))?;
    story::tell(&terminal, &metrics).await?;
    terminal.heading(&format!("The end, after {} s", started.elapsed().as_secs()))?;
    Ok((site, metrics, terminal))
}
