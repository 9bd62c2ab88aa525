//! The story as a closed loop: real Kafka, real consumers whose lag a real Prometheus scrapes, and the real
//! autoscaler, which acts on it.

mod alerts;
mod broker;
mod clock;
pub mod cost;
pub mod dashboard;
pub mod figures;
pub mod ledger;
pub mod report;
pub mod requests;
mod settings;
mod stage;
mod story;
mod teller;
pub mod timeline;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use kcg_devcluster::{Parts, Programs, parts, pod_network};

pub use settings::Settings;

use crate::terminal::Terminal;
use broker::Subscription;
use stage::Stage;
use teller::Teller;

/// Tells it; outside of the pod network it fetches and builds what is needed and goes inside first.
pub async fn demonstrate(settings: Settings) -> Result<ExitCode> {
    let programs = Programs::build().await?;
    if !pod_network::is_inside() {
        Parts::ensure_closed_loop(&parts::to_stderr).await?;
        return Err(pod_network::enter(&programs.variables()).into());
    }
    let terminal = Terminal::new();
    terminal.heading("Everything starts")?;
    let stage = Stage::start(&settings, &programs, |line| terminal.say(line)).await?;
    let subscription = Subscription { group: story::GROUP.into(), topics: vec![story::TOPIC.into()] };
    let mut teller = Teller::begin(settings, stage, terminal, subscription, story::GROUP).await?;
    story::tell(&mut teller).await?;
    Ok(ExitCode::SUCCESS)
}
