//! A Kafka producer to copy from: idempotent, acknowledged by all replicas, it reports what the
//! broker confirmed.
//!
//! An `order` comes from the command line, or over HTTP by `server`. `kafka` sends its records, and
//! its `tally` counts the results.

mod flags;
mod kafka;
mod keys;
mod metrics;
mod order;
mod server;
mod tally;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval_at};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::flags::{Command, Flags, KafkaFlags};
use crate::kafka::Kafka;
use crate::metrics::Counters;
use crate::order::Order;
use crate::server::{Serving, routes};

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(2);
/// The limit for Kafka's answer about a topic. Without an answer records are sent anyway.
const TOPIC: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    match run(flags.command).await {
        Ok(code) => code,
        Err(failure) => {
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = {
        let stop = Arc::clone(&stop);
        async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            stop.store(true, Ordering::Relaxed);
        }
    };
    match command {
        Command::Serve { kafka, addr, most } => {
            let listener = TcpListener::bind(addr)
                .await
                .with_context(|| format!("cannot listen on {addr}; choose another address with --addr"))?;
            let counters = Counters::new(&kafka.client_id);
            let serving = Serving {
                registry: Arc::new(counters.registry()),
                kafka: Kafka::new(&kafka, counters)?,
                bootstrap_servers: kafka.bootstrap_servers,
                topics: kafka.topics,
                most,
                stop,
            };
            info!("serving GET /send/{{n}} on {addr}, for {}", serving.topics.join(", "));
            axum::serve(listener, routes(serving)).with_graceful_shutdown(asked).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Send { kafka, count, rate, size, keys, json } => {
            tokio::spawn(asked);
            let order = Order { topics: kafka.topics.clone(), count, rate, size, keys };
            send(&kafka, order, json, stop).await
        }
    }
}

async fn send(
    flags: &KafkaFlags,
    order: Order,
    json: bool,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(flags, Counters::new(&flags.client_id))?;
    let tally = order.tally();
    let sending = {
        let (tally, topics) = (Arc::clone(&tally), order.topics.clone());
        spawn_blocking(move || {
            for topic in topics {
                // If Kafka does not answer, the records wait until it does.
                if let Ok(false) = kafka.has_topic(&topic, TOPIC) {
                    bail!("the topic {topic} does not exist: create it first");
                }
            }
            Ok(order.carry_out(&kafka, &tally, || stop.load(Ordering::Relaxed)))
        })
    };
    tokio::pin!(sending);
    let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
    let counts = loop {
        tokio::select! {
            counts = &mut sending => break counts.context("the sending thread panicked")??,
            _ = progress.tick() => {
                let counts = tally.read();
                info!("confirmed {} of {}", counts.confirmed(), counts.ordered);
            }
        }
    };
    println!("{}", if json { counts.json() } else { counts.to_string() });
    Ok(if counts.unconfirmed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
