//! The cases, and the order in which they run.

mod backlog;
mod burst;
mod idle;
mod memory;
mod restart;
mod topic_lag;
mod webhook;

use anyhow::{Context, Result};
use kcg_devcluster::OPERATOR_BINARY;

use crate::cluster::Cluster;
use crate::contestant::{Contestant, Running, build_shipped};
use crate::machine::{self, Machine, Side};
use crate::observe::Convergence;
use crate::options::{Case, Options};
use crate::recording::Recording;
use crate::report::{Report, Row};
use crate::workload::Workload;

/// A run: what was asked for, who takes part, and what was found.
pub struct Bench<'a> {
    options: &'a Options,
    /// First ours.
    contestants: Vec<Contestant>,
    pinned: bool,
    report: Report,
}

/// Runs the cases.
pub async fn run(options: &Options) -> Result<()> {
    let ours = Contestant::ours(build_shipped().await?);
    let pinned = !options.unpinned && machine::can_pin().await;
    let mut report = Report::new(Machine::read(pinned).await);
    if std::env::var_os(OPERATOR_BINARY).is_some() {
        report.notes.push(format!("the operator is the program that {OPERATOR_BINARY} names"));
    }
    let contestants = [ours].into_iter().chain(options.peers.iter().map(Contestant::peer)).collect();
    if pinned {
        machine::pin(std::process::id(), Side::Measured).await?;
    }
    let mut bench = Bench { options, contestants, pinned, report };
    Report::begin();
    if options.runs(Case::Burst) {
        burst::run(&mut bench).await?;
    }
    if options.runs(Case::Backlog) {
        backlog::run(&mut bench).await?;
    }
    if options.runs(Case::Restart) {
        restart::empty(&mut bench).await?;
    }
    let needs_groups = [Case::Memory, Case::Restart, Case::Idle, Case::TopicLag];
    if needs_groups.into_iter().any(|case| options.runs(case)) {
        for index in 0..bench.contestants.len() {
            let contestant = bench.contestants[index].clone();
            bench.with_groups(&contestant).await?;
        }
        restart::compare(&mut bench)?;
    }
    if options.runs(Case::Webhook) {
        webhook::run(&mut bench).await?;
    }
    bench.note(format!("load averages at the end: {}", machine::load()))?;
    eprintln!("the figures and plots are in {}", options.report.display());
    Ok(())
}

impl Bench<'_> {
    fn ours(&self) -> &Contestant {
        &self.contestants[0]
    }

    /// The requests of the floor.
    async fn recording(&mut self) -> Result<Recording> {
        progress("recording the requests for one group");
        let cluster = self.cluster().await?;
        let recording =
            Recording::of(self.ours(), &cluster).await.context("record the requests for one group")?;
        self.note(format!("requests for a new group: {}", recording.describe()))?;
        Ok(recording)
    }

    async fn cluster(&self) -> Result<Cluster> {
        Cluster::start(self.pinned).await
    }

    fn add(&mut self, rows: Vec<Row>) -> Result<()> {
        self.report.add(rows, &self.options.report)
    }

    fn note(&mut self, note: String) -> Result<()> {
        eprintln!("{note}");
        self.report.notes.push(note);
        self.report.write(&self.options.report)
    }

    /// The cases that begin with groups that are complete, on one cluster for each operator.
    async fn with_groups(&mut self, contestant: &Contestant) -> Result<()> {
        let cluster = self.cluster().await?;
        let running = memory::grow(self, contestant, &cluster).await?;
        if self.options.runs(Case::TopicLag) {
            topic_lag::run(self, contestant, &cluster).await?;
        }
        running.stop().await?;
        if self.options.runs(Case::Restart) {
            restart::with_groups(self, contestant, &cluster).await?;
        }
        if self.options.runs(Case::Memory) {
            memory::after_restart(self, contestant, &cluster).await?;
        }
        // The last one: statuses may still be written long after it.
        if self.options.runs(Case::Idle) {
            idle::run(self, contestant, &cluster).await?;
        }
        Ok(())
    }
}

/// Creates groups for a running operator, and waits until all are complete.
async fn converge(cluster: &Cluster, running: &Running, workload: Workload) -> Result<()> {
    workload.create_topics(&cluster.client).await?;
    let convergence = Convergence::begin(&cluster.client, workload).await?;
    workload.create_groups(&cluster.client, None).await?;
    running.while_it_runs(convergence.end(&cluster.client, || Ok(()))).await?;
    running.rest().await
}

fn progress(what: &str) {
    eprintln!("{what}");
}
