//! The story as a closed loop: real Kafka, real consumers whose lag a real Prometheus scrapes, and the real
//! autoscaler, which acts on it.

mod alerts;
mod broker;
mod clock;
mod compare;
pub mod cost;
pub mod dashboard;
pub mod figures;
mod generations;
mod groups;
pub mod ledger;
mod outcome;
pub mod report;
pub mod requests;
mod scale;
pub mod settings;
pub mod stage;
mod story;
mod tail;
mod teller;
pub mod timeline;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use kcg_devcluster::{Interrupts, Parts, Programs, parts, pod_network};

pub use settings::{Settings, Which};

use broker::Subscription;
use dashboard::Dashboard;
use figures::{GroupFigures, group_rows, operator_rows};
use report::Story;
use stage::Stage;
use teller::Teller;

/// Tells it and leaves its report in `folder`; outside of the pod network it fetches and builds what is needed and goes
/// inside first.
pub async fn demonstrate(settings: Settings, folder: &Path, keep: bool) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let Some(outcome) = interrupts.unless(Box::pin(tell(settings, folder))).await else {
        eprintln!("demo: stopped; there is no report");
        return Ok(ExitCode::from(130));
    };
    let teller = outcome?;
    if keep {
        teller.say(&format!(
            "The cluster stays until Ctrl-C: {} env KUBECONFIG={} {}/kubectl get pods",
            pod_network::enter_command(),
            teller.stage.plane.kubeconfig_path().display(),
            teller.stage.plane.parts().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cluster is handed back, so that it may be kept.
async fn tell(settings: Settings, folder: &Path) -> Result<Teller> {
    if !pod_network::is_inside() {
        report::try_folder(folder)?;
        Parts::ensure_closed_loop(&parts::to_stderr).await?;
        return Err(pod_network::enter(&Programs::build().await?.variables()).into());
    }
    let programs = Programs::build().await?;
    let dashboard = Dashboard::new();
    dashboard.heading("Everything starts")?;
    let stage = Stage::start(&settings, &programs, |line| dashboard.say(line)).await?;
    let which = settings.which;
    let groups = match which {
        Which::One => vec![Subscription { group: story::GROUP.into(), topics: vec![story::TOPIC.into()] }],
        Which::Comparison => compare::subscriptions(),
        Which::Scale => scale::subscriptions(),
    };
    let mut teller = Teller::begin(settings, stage, dashboard, groups).await?;
    let (stories, page) = match which {
        Which::One => one(Box::pin(story::tell(&mut teller)).await?, folder)?,
        Which::Scale => one(Box::pin(scale::tell(&mut teller)).await?, folder)?,
        Which::Comparison => {
            let [first, second] = Box::pin(compare::tell(&mut teller)).await?;
            let title = "The same load by Kubernetes' defaults and by the operator's";
            let page = report::write_comparison(folder, title, [&first, &second])?;
            (vec![first, second], page)
        }
    };
    close(&mut teller, &stories, &page)?;
    Ok(teller)
}

fn one(story: Story, folder: &Path) -> Result<(Vec<Story>, PathBuf)> {
    let page = report::write(folder, &story)?;
    Ok((vec![story], page))
}

/// The figures, and where the report is. Fails where a record was lost, whatever else went well.
fn close(teller: &mut Teller, stories: &[Story], page: &Path) -> Result<()> {
    teller.chapter(&format!("The end, after {:.0} s", teller.clock.now()))?;
    for group in stories.iter().flat_map(|story| &story.figures.groups) {
        teller.say(&format!("Group {}", group.name))?;
        for row in group_rows(group) {
            teller.say(&format!("{:<44} {}", row.name, row.text()))?;
        }
    }
    let operator = stories.last().and_then(|story| story.figures.operator);
    for row in operator.iter().flat_map(operator_rows) {
        teller.say(&format!("{:<44} {}", row.name, row.text()))?;
    }
    let page = std::path::absolute(page)?;
    teller.say(&format!("The report, with plots: {}", page.display()))?;
    let lost: Vec<String> =
        stories.iter().flat_map(|story| &story.figures.groups).filter_map(GroupFigures::loss).collect();
    ensure!(lost.is_empty(), "{}", lost.join("; "));
    Ok(())
}

/// What a task of the story shares; one that panicked has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
