//! The operator in a closed loop: real Kafka, real consumers whose lag a real Prometheus scrapes, and the real
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
mod kafka;
pub mod ledger;
mod metrics_adapter;
mod monitoring;
mod node;
mod outcome;
mod programs;
pub mod report;
pub mod requests;
mod scale;
pub mod settings;
pub mod stage;
mod story;
mod tail;
mod teller;
pub mod timeline;
pub mod tools;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{Interrupts, pod_network};

pub use kafka::{Group, Kafka, KafkaObserver, PartitionLag, TopicSynchroniser};
pub use kcg_devcluster::{Error, Result};
pub use metrics_adapter::MetricsAdapter;
pub use monitoring::{Alert, AlertState, Monitoring, Sample, Series};
pub use node::{Images, Node, Run};
pub use programs::Programs;
pub use settings::{Settings, Which};

use broker::Subscription;
use dashboard::Dashboard;
use figures::{GroupFigures, group_rows, operator_rows};
use report::Story;
use stage::Stage;
use teller::Teller;

/// Tells it and leaves its report in `folder`; outside of the pod network it fetches and builds what is needed and goes
/// inside first.
pub async fn demonstrate(settings: Settings, folder: &Path, keep: bool) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let Some(outcome) = interrupts.unless(Box::pin(tell(settings, folder))).await else {
        eprintln!("closed-loop: stopped; there is no report");
        return Ok(ExitCode::from(130));
    };
    let teller = outcome?;
    if keep {
        teller.say(&format!(
            "The cluster stays until Ctrl-C: {} env KUBECONFIG={} {}/kubectl get pods",
            pod_network::enter_command(),
            teller.stage.plane.kubeconfig_path().display(),
            teller.stage.plane.tools().kubectl_folder()?.display(),
        ))?;
        interrupts.next().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cluster is handed back, so that it may be kept.
async fn tell(settings: Settings, folder: &Path) -> anyhow::Result<Teller> {
    if !pod_network::is_inside() {
        report::try_folder(folder)?;
        tools::ensure(&to_stderr).await?;
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

fn one(story: Story, folder: &Path) -> anyhow::Result<(Vec<Story>, PathBuf)> {
    let page = report::write(folder, &story)?;
    Ok((vec![story], page))
}

/// The figures, and where the report is. Fails where a record was lost, whatever else went well.
fn close(teller: &mut Teller, stories: &[Story], page: &Path) -> anyhow::Result<()> {
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
