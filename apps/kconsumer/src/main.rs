//! A Kafka consumer to copy from: a member of a consumer group that loses nothing and shows its lag.
//!
//! `member` polls and `worker` works; `callbacks` hears of rebalances and statistics, which `membership` judges;
//! `server` shows them.

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
    // stdout is for records.
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
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    let listener = TcpListener::bind(flags.metrics_addr).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --metrics-addr", flags.metrics_addr)
    })?;
    let registry = (flags.metrics == Metrics::Prometheus).then(|| metrics::registry(&counters, &callbacks));
    tokio::spawn(axum::serve(listener, server::routes(&callbacks, registry)).into_future());

    let stop = Arc::new(AtomicBool::new(false));
    let (ended, mut end) = oneshot::channel();
    // A thread of its own: the Kafka client is polled, and its callbacks may block.
    let member = {
        let (callbacks, counters, stop) = (callbacks.clone(), counters.clone(), Arc::clone(&stop));
        move || ended.send(member::run(&flags, &callbacks, &counters, &stop))
    };
    thread::Builder::new().name("member".to_owned()).spawn(member).context("no thread can be started")?;

    let outcome = tokio::select! {
        outcome = &mut end => outcome,
        _ = terminate.recv() => finish(&stop, &mut end, grace).await?,
        _ = interrupt.recv() => finish(&stop, &mut end, grace).await?,
    };
    info!("processed {} records", counters.processed());
    outcome.context("the member's thread panicked")?
}

type End = oneshot::Receiver<anyhow::Result<()>>;

/// Asks the member to end and waits for it, but no longer than the grace allows: without Kafka nothing can be
/// committed, and what was not committed is read again by another member.
async fn finish(
    stop: &AtomicBool,
    end: &mut End,
    grace: std::time::Duration,
) -> anyhow::Result<Result<anyhow::Result<()>, oneshot::error::RecvError>> {
    info!("finishes its record, commits and leaves the group");
    stop.store(true, Ordering::Relaxed);
    match timeout(grace, end).await {
        Ok(outcome) => Ok(outcome),
        Err(_) => bail!("not done within {grace:?}; what was not committed is processed again"),
    }
}
