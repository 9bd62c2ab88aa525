//! Tells the story: shows commands and what they print, waits for what has to come, and keeps what was seen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kcg_devcluster::KafkaObserver;

use super::alerts::Alerts;
use super::broker::{Broker, Subscription};
use super::clock::Clock;
use super::cost::{Meter, Side};
use super::ledger::Ledger;
use super::settings::Settings;
use super::stage::{OPERATOR, Stage};
use super::watch::{Seen, Watch, last};
use crate::terminal::{Expect, Terminal};

/// How often all that is watched is looked at.
const BEAT: Duration = Duration::from_millis(250);
/// The namespace of the story's groups.
pub const NAMESPACE: &str = "default";

/// What is known right now of the group that the story is about.
#[derive(Debug)]
pub struct Now {
    pub group: Seen,
    /// By partition, in records, as the broker knows it.
    pub lags: Vec<f64>,
    /// Different records that were processed.
    pub processed: u64,
    /// The names of the alerts that are pending or fire.
    pub alerts: Vec<String>,
}

impl Now {
    pub fn ready(&self) -> u32 {
        count(&self.group.ready)
    }

    pub fn wanted(&self) -> u32 {
        count(&self.group.wanted)
    }

    /// All records in all partitions.
    pub fn lag(&self) -> f64 {
        self.lags.iter().sum()
    }

    /// How many partitions of the group's topics there are.
    pub fn partitions(&self) -> usize {
        self.lags.len()
    }

    /// Whether so many records were processed and their offsets committed.
    pub fn is_drained(&self, records: u64) -> bool {
        self.processed >= records && !self.lags.is_empty() && self.lag() == 0.0
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Counts of pods.
fn count(steps: &super::watch::Steps) -> u32 {
    last(steps).unwrap_or_default() as u32
}

/// A moment worth a mark on the plots.
#[derive(Clone, Debug)]
pub struct Moment {
    pub at: f64,
    pub text: String,
}

/// The teller, with all that was seen so far.
#[derive(Debug)]
pub struct Teller {
    pub settings: Settings,
    pub stage: Stage,
    pub clock: Clock,
    pub group: &'static str,
    pub chapters: Vec<Moment>,
    pub marks: Vec<Moment>,
    pub watch: Watch,
    pub broker: Broker,
    pub alerts: Alerts,
    pub ledger: Ledger,
    pub meter: Meter,
    terminal: Terminal,
    metered: Instant,
}

impl Teller {
    /// Begins to watch the group and its topics on a stage that stands.
    pub async fn begin(
        settings: Settings,
        stage: Stage,
        mut terminal: Terminal,
        subscription: Subscription,
        group: &'static str,
    ) -> Result<Self> {
        terminal.connect(&stage.plane)?;
        let clock = Clock::start();
        let client = stage.plane.client().await?;
        let observer = KafkaObserver::new(&stage.kafka.bootstrap_servers())?;
        let mut teller = Self {
            watch: Watch::start(&client, NAMESPACE, clock),
            broker: Broker::watch(observer, vec![subscription], clock),
            alerts: Alerts::watch(stage.monitoring.clone(), clock),
            settings,
            stage,
            clock,
            group,
            chapters: Vec::new(),
            marks: Vec::new(),
            ledger: Ledger::default(),
            meter: Meter::default(),
            terminal,
            metered: clock.began(),
        };
        teller.look()?;
        Ok(teller)
    }

    pub fn chapter(&mut self, text: &str) -> Result<()> {
        self.chapters.push(Moment { at: self.clock.now(), text: text.to_owned() });
        self.terminal.heading(text)
    }

    pub fn mark(&mut self, text: &str) {
        self.marks.push(Moment { at: self.clock.now(), text: text.to_owned() });
    }

    pub fn say(&self, text: &str) -> Result<()> {
        self.terminal.say(text)
    }

    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.terminal.run(command, expect).await
    }

    pub async fn all(&self, commands: &[&str]) -> Result<()> {
        for command in commands {
            self.run(command, Expect::Success).await?;
        }
        Ok(())
    }

    /// Shows what is going on until `reached`.
    pub async fn until(&mut self, what: &str, limit: Duration, reached: impl Fn(&Now) -> bool) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = self.look()?;
            if reached(&now) {
                return Ok(());
            }
            if begun.elapsed() > limit {
                bail!("{what} did not come within {} s: {now:?}", limit.as_secs());
            }
            self.stage.kafka.must_run()?;
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Waits until Prometheus says this value.
    pub async fn until_metric(&mut self, expression: &str, value: f64, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.look()?;
            let seen = self.stage.monitoring.query(expression).await?;
            if matches!(seen.as_slice(), [sample] if sample.value == value) {
                return Ok(());
            }
            if begun.elapsed() > limit {
                bail!("{expression} did not become {value} within {} s: {seen:?}", limit.as_secs());
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// SIGKILL to the process of one of the group's consumers; its pod's name.
    pub fn kill_a_consumer(&self) -> Result<String> {
        self.kill(NAMESPACE, self.group)
    }

    /// SIGKILL to the controller that holds the Lease; its pod's name.
    pub async fn kill_the_leader(&self) -> Result<String> {
        let namespace = format!("--namespace={OPERATOR}");
        let holder = ["get", "lease", OPERATOR, &namespace, "-o=jsonpath={.spec.holderIdentity}"];
        let identity = self.stage.plane.kubectl(&holder).await?.ok()?;
        // The pod's name, and what tells its processes apart.
        let pod = identity.rsplit_once('_').map_or(identity.as_str(), |(pod, _)| pod);
        self.kill(OPERATOR, pod)
    }

    fn kill(&self, namespace: &str, prefix: &str) -> Result<String> {
        let runs = self.stage.node.runs_of(namespace, prefix);
        let run = runs.iter().rev().find(|run| run.pid().is_some()).context("no such process runs")?;
        run.kill();
        Ok(run.pod.clone())
    }

    /// Reads the logs and the processes, and says what is known now.
    pub fn look(&mut self) -> Result<Now> {
        for run in self.stage.node.runs_of(NAMESPACE, self.group) {
            self.ledger.read(&run.pod, &run.log())?;
        }
        if self.metered.elapsed() > Duration::from_secs(1) {
            self.metered = Instant::now();
            let operator = self.stage.node.runs_of(OPERATOR, "").into_iter().filter_map(|run| run.pid());
            let plane = self.stage.plane.processes().into_iter().map(|(_, pid)| (Side::ControlPlane, pid));
            self.meter.read(plane.chain(operator.map(|pid| (Side::Operator, pid))).collect::<Vec<_>>());
        }
        Ok(Now {
            group: self.watch.group(self.group),
            lags: self.broker.latest(self.group),
            processed: self.ledger.distinct(),
            alerts: self.alerts.now(),
        })
    }
}
