//! A Kafka consumer to copy from: a member of a consumer group that loses no record and exports its
//! lag.
//!
//! `member` polls and `worker` processes. `callbacks` receives rebalances and statistics,
//! `membership` evaluates them, and `server` serves metrics and health.

mod callbacks;
mod flags;
mod inbox;
mod member;
mod membership;
mod metrics;
mod poison;
mod record;
mod server;
mod worker;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::callbacks::Callbacks;
use crate::flags::{Flags, Metrics};
use crate::metrics::Counters;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // stdout is only for records.
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let grace = flags.grace;
    let callbacks = Callbacks::default();
    let counters = Counters::new(&flags.client_id);
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let listener = TcpListener::bind(flags.metrics_addr).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --metrics-addr", flags.metrics_addr)
    })?;
    let registry = (flags.metrics == Metrics::Prometheus).then(|| metrics::registry(&counters, &callbacks));
    tokio::spawn(axum::serve(listener, server::routes(&callbacks, registry)).into_future());

    let stop = Arc::new(AtomicBool::new(false));
    let (ended, mut end) = oneshot::channel();
    // On its own thread, since polling and callbacks block.
    let member = {
        let (callbacks, counters, stop) = (callbacks.clone(), counters.clone(), Arc::clone(&stop));
        move || ended.send(member::run(&flags, &callbacks, &counters, &stop))
    };
    thread::Builder::new().name("member".to_owned()).spawn(member).context("cannot start a thread")?;

    let outcome = tokio::select! {
        outcome = &mut end => outcome,
        _ = terminate.recv() => finish(&stop, &mut end, grace).await?,
        _ = interrupt.recv() => finish(&stop, &mut end, grace).await?,
    };
    info!("processed {} records", counters.processed());
    outcome.context("the member's thread panicked")?
}

type End = oneshot::Receiver<anyhow::Result<()>>;

/// Asks the member to end, and waits no longer than the grace period. Without Kafka nothing can be
/// committed, and another member processes the uncommitted records again.
async fn finish(
    stop: &AtomicBool,
    end: &mut End,
    grace: std::time::Duration,
) -> anyhow::Result<Result<anyhow::Result<()>, oneshot::error::RecvError>> {
    info!("finishing the current record, committing and leaving the group");
    stop.store(true, Ordering::Relaxed);
    match timeout(grace, end).await {
        Ok(outcome) => Ok(outcome),
        Err(_) => bail!("not done within {grace:?}; uncommitted records will be processed again"),
    }
}
