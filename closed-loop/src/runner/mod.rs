//! Runs a scenario: shows commands and what they print, waits for what has to happen, and collects
//! what is observed.

mod collect;
mod progress;
mod state;

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_demo::terminal::{Expect, Terminal};
use kcg_devcluster::audit::Mark;

pub(crate) use collect::{Load, sent_values};
pub(crate) use state::GroupState;

use crate::environment::Environment;
use crate::kafka::KafkaObserver;
use crate::monitoring::AlertState;
use crate::observe::alerts::{AlertLog, Span};
use crate::observe::broker::{Broker, Subscription};
use crate::observe::clock::Clock;
use crate::observe::cost::{Meter, Side};
use crate::observe::generations::Generations;
use crate::observe::processed_log::ProcessedLog;
use crate::observe::replicas::ReplicaWatch;
use crate::settings::{NAMESPACE, OPERATOR_NAMESPACE, Settings};
use crate::timeline::Moment;
use progress::Progress;

/// How often everything is observed while the runner waits.
const POLL: Duration = Duration::from_millis(250);
/// How often the processes' costs are read.
const METER_EVERY: Duration = Duration::from_secs(1);
/// The limit for another controller to take over: a Lease that is not renewed expires after 15 s.
const TAKEOVER_LIMIT: Duration = Duration::from_mins(1);

/// Executes a scenario's steps, and holds everything observed so far.
#[derive(Debug)]
pub(crate) struct Runner {
    pub settings: Settings,
    pub environment: Environment,
    pub clock: Clock,
    pub groups: Vec<Subscription>,
    steps: Vec<Moment>,
    marks: Vec<Moment>,
    replicas: ReplicaWatch,
    broker: Broker,
    alerts: AlertLog,
    processed: BTreeMap<String, ProcessedLog>,
    generations: Generations,
    meter: Meter,
    metered: Instant,
    /// The position in the API server's audit log at the start.
    audit_start: Mark,
    terminal: Terminal,
    progress: Progress,
}

impl Runner {
    /// Starts to observe the groups and their topics in a running environment.
    pub(crate) async fn start(
        settings: Settings,
        environment: Environment,
        mut terminal: Terminal,
        groups: Vec<Subscription>,
    ) -> Result<Self> {
        terminal.connect(&environment.plane)?;
        let clock = Clock::start();
        let client = environment.plane.client().await?;
        let observer = KafkaObserver::new(&environment.kafka.bootstrap_servers())?;
        let mut runner = Self {
            replicas: ReplicaWatch::start(&client, NAMESPACE, clock),
            broker: Broker::poll(observer, groups.clone(), clock),
            alerts: AlertLog::poll(environment.monitoring.clone(), clock),
            audit_start: environment.plane.audit_log()?.mark()?,
            settings,
            environment,
            clock,
            groups,
            steps: Vec::new(),
            marks: Vec::new(),
            processed: BTreeMap::new(),
            generations: Generations::default(),
            meter: Meter::default(),
            metered: clock.started(),
            terminal,
            progress: Progress::default(),
        };
        // The costs so far do not belong to the scenario.
        runner.read_meter();
        Ok(runner)
    }

    /// Observes other groups in the same environment, from now on.
    pub(crate) async fn observe_others(self, groups: Vec<Subscription>) -> Result<Self> {
        Self::start(self.settings, self.environment, self.terminal, groups).await
    }

    /// Begins a step, under this heading.
    pub(crate) fn step(&mut self, heading: &str) -> Result<()> {
        self.steps.push(Moment { at: self.clock.now(), text: heading.to_owned() });
        self.terminal.heading(heading)
    }

    /// Marks something that was done or happened now; returns its time.
    pub(crate) fn mark(&mut self, text: &str) -> f64 {
        let at = self.clock.now();
        self.marks.push(Moment { at, text: text.to_owned() });
        at
    }

    /// Prints a line.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        self.terminal.say(text)
    }

    /// Shows a command, runs it, and shows what it printed. Fails if it does not end as expected.
    pub(crate) async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.terminal.run(command, expect).await
    }

    /// Runs several commands, all of which must succeed.
    pub(crate) async fn run_all(&self, commands: &[&str]) -> Result<()> {
        for command in commands {
            self.run(command, Expect::Success).await?;
        }
        Ok(())
    }

    /// Shows progress until `reached` holds for every group.
    pub(crate) async fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&GroupState) -> bool,
    ) -> Result<()> {
        self.wait(what, limit, async |runner| {
            let groups = runner.observe()?;
            if groups.iter().all(&reached) {
                return Ok(Break(()));
            }
            let seen: Vec<_> = groups
                .iter()
                .map(|group| (group.ready(), group.wanted(), group.behind(), group.processed))
                .collect();
            Ok(Continue(format!("ready, wanted, behind and processed are {seen:?}")))
        })
        .await
    }

    /// Waits until Prometheus answers a query with this value.
    pub(crate) async fn wait_for_metric(
        &mut self,
        expression: &str,
        value: f64,
        limit: Duration,
    ) -> Result<()> {
        self.wait(&format!("{expression} to be {value}"), limit, async |runner| {
            runner.observe()?;
            let seen = runner.environment.monitoring.query(expression).await;
            let is_reached =
                matches!(seen.as_deref(), Ok([sample]) if (sample.value - value).abs() < f64::EPSILON);
            if is_reached {
                return Ok(Break(()));
            }
            Ok(Continue(match seen {
                Ok(samples) => {
                    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
                    format!("Prometheus answers {values:?}")
                }
                Err(error) => format!("Prometheus does not answer: {error}"),
            }))
        })
        .await
    }

    /// Waits until another controller, or another process of the same pod, holds the Lease, and
    /// prints which.
    pub(crate) async fn wait_for_new_leader(&mut self, old: &str) -> Result<()> {
        let leader = self
            .wait("another controller with the Lease", TAKEOVER_LIMIT, async |runner| {
                runner.observe()?;
                let holder = runner.leader().await?;
                let is_another = !holder.is_empty() && holder != old;
                Ok(if is_another { Break(holder) } else { Continue(format!("its holder is {holder:?}")) })
            })
            .await?;
        self.print(&format!("(the Lease has passed to {leader})"))
    }

    /// Calls `check` until it breaks or the limit is over.
    async fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut check: impl AsyncFnMut(&mut Self) -> Result<ControlFlow<T, String>>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            let seen = match check(self).await? {
                Break(value) => return Ok(value),
                Continue(seen) => seen,
            };
            ensure!(started.elapsed() <= limit, "{what} did not happen within {} s: {seen}", limit.as_secs());
            self.environment.kafka.must_run()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails if a group has no lag left, so that the next step happens while it still works.
    pub(crate) fn require_lag(&mut self, group: &str) -> Result<()> {
        self.observe()?;
        ensure!(
            self.state_of(group).behind() > 0,
            "group {group} processed all its records before the next step could begin: send more"
        );
        Ok(())
    }

    /// Whether an alert of a group has fired since this time of the run.
    pub(crate) fn has_fired(&self, alert: AlertName, group: &str, since: f64) -> bool {
        let is_it = |span: &Span| (&*span.alert, &*span.group) == (alert.as_str(), group);
        let fired = |span: &Span| is_it(span) && span.state == AlertState::Firing && span.from >= since;
        self.alerts.spans().iter().any(fired)
    }

    /// Sends SIGKILL to one of a group's consumers and to the controller that holds the Lease;
    /// returns the holder's identity.
    pub(crate) async fn kill_consumer_and_leader(&mut self, group: &str) -> Result<String> {
        let consumer = self.kill(NAMESPACE, &format!("{group}-"))?;
        self.mark("consumer killed");
        self.print(&format!("(SIGKILL: {consumer}, which had no chance to commit or to leave the group)"))?;
        let leader = self.leader().await?;
        ensure!(!leader.is_empty(), "no controller holds the Lease, so there is no leader to kill");
        // The identity is the pod's name and a suffix for each of its processes.
        let pod = leader.rsplit_once('_').map_or(&*leader, |(pod, _)| pod);
        let controller = self.kill(OPERATOR_NAMESPACE, pod)?;
        self.mark("controller killed");
        self.print(&format!("(SIGKILL: {controller}, which held the Lease)"))?;
        Ok(leader)
    }

    /// The Lease's holder.
    async fn leader(&self) -> Result<String> {
        let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
        let holder = ["get", "lease", OPERATOR_NAMESPACE, &namespace, "-o=jsonpath={.spec.holderIdentity}"];
        Ok(self.environment.plane.kubectl(&holder).await?.ok()?)
    }

    fn kill(&self, namespace: &str, prefix: &str) -> Result<String> {
        let runs = self.environment.node.runs_of(namespace, prefix);
        let run = runs.iter().rev().find(|run| run.pid().is_some()).context("no such process runs")?;
        run.kill();
        Ok(run.pod.clone())
    }

    /// Reads the logs and the processes, shows progress, and returns the state of each group.
    pub(crate) fn observe(&mut self) -> Result<Vec<GroupState>> {
        for Subscription { group, .. } in &self.groups {
            let processed = self.processed.entry(group.clone()).or_default();
            for run in self.environment.node.runs_of(NAMESPACE, &format!("{group}-")) {
                processed.read(&run.pod, &run.log())?;
            }
        }
        self.generations.read(&self.environment.kafka.log_path(), &self.clock)?;
        if self.metered.elapsed() > METER_EVERY {
            self.read_meter();
        }
        let groups: Vec<_> =
            self.groups.iter().map(|subscription| self.state_of(&subscription.group)).collect();
        if let Some(line) = self.progress.next(self.clock.now(), &groups) {
            self.print(&line)?;
        }
        Ok(groups)
    }

    fn read_meter(&mut self) {
        self.metered = Instant::now();
        let operator =
            self.environment.node.runs_of(OPERATOR_NAMESPACE, "").into_iter().filter_map(|run| run.pid());
        let plane = self.environment.plane.processes().into_iter().map(|(_, pid)| (Side::ControlPlane, pid));
        self.meter.read(plane.chain(operator.map(|pid| (Side::Operator, pid))).collect::<Vec<_>>());
    }

    fn state_of(&self, group: &str) -> GroupState {
        GroupState {
            name: group.to_owned(),
            replicas: self.replicas.group(group),
            lag: self.broker.group(group),
            processed: self.processed.get(group).map_or(0, ProcessedLog::distinct),
            rebalances: self.generations.of(group).len() as u64,
            alerts: self.alerts.open(group),
        }
    }
}
