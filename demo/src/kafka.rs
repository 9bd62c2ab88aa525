//! The story as a closed loop: real Kafka, real consumers whose lag a real Prometheus scrapes, and the real
//! autoscaler, which acts on it.

mod alerts;
mod broker;
mod clock;
pub mod cost;
pub mod dashboard;
pub mod figures;
mod generations;
pub mod ledger;
mod outcome;
pub mod report;
pub mod requests;
pub mod settings;
pub mod stage;
mod story;
mod teller;
pub mod timeline;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use kcg_devcluster::{Interrupts, Parts, Programs, parts, pod_network};

pub use settings::Settings;

use broker::Subscription;
use dashboard::Dashboard;
use figures::{Figures, group_rows, operator_rows};
use report::Story;
use stage::Stage;
use teller::Teller;

/// Tells it and leaves its report in `folder`; outside of the pod network it fetches and builds what is needed and goes
/// inside first.
pub async fn demonstrate(settings: Settings, folder: &Path, keep: bool) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let Some(outcome) = interrupts.unless(Box::pin(tell(settings, folder))).await else {
        return Ok(ExitCode::from(130));
    };
    let teller = outcome?;
    if keep {
        teller.say(&format!(
            "The cluster stays until Ctrl-C: nsenter --target {} --net --mount env KUBECONFIG={} {}/kubectl get pods",
            std::process::id(),
            teller.stage.plane.kubeconfig_path().display(),
            teller.stage.plane.parts().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cluster is handed back, so that it may be kept.
async fn tell(settings: Settings, folder: &Path) -> Result<Teller> {
    let programs = Programs::build().await?;
    if !pod_network::is_inside() {
        Parts::ensure_closed_loop(&parts::to_stderr).await?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let dashboard = Dashboard::new();
    dashboard.heading("Everything starts")?;
    let stage = Stage::start(&settings, &programs, |line| dashboard.say(line)).await?;
    let groups = vec![Subscription { group: story::GROUP.into(), topics: vec![story::TOPIC.into()] }];
    let mut teller = Teller::begin(settings, stage, dashboard, groups).await?;
    let story = story::tell(&mut teller).await?;
    let page = report::write(folder, &story)?;
    close(&mut teller, &story, &page)?;
    Ok(teller)
}

/// The figures, and where the report is.
fn close(teller: &mut Teller, story: &Story, page: &Path) -> Result<()> {
    teller.chapter(&format!("The end, after {:.0} s", teller.clock.now()))?;
    let Figures { groups, operator } = &story.figures;
    for group in groups {
        for row in group_rows(group) {
            teller.say(&format!("{:<44} {}", row.name, row.text()))?;
        }
    }
    for row in operator.iter().flat_map(operator_rows) {
        teller.say(&format!("{:<44} {}", row.name, row.text()))?;
    }
    teller.say(&format!("The report, with plots: {}", page.display()))
}
