//! Tells a story: shows commands and what they print, waits for what has to come, and keeps what was seen.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use crate::{AlertState, KafkaObserver};
use anyhow::{Context, Result, ensure};
use kcg_devcluster::audit::Mark;

use super::alerts::{Alerts, Span};
use super::broker::{Broker, GroupLag, Subscription};
use super::clock::Clock;
use super::cost::{Meter, Side};
use super::dashboard::{AlertNow, Dashboard, GroupSnapshot, PodRate, Snapshot};
use super::generations::Generations;
use super::ledger::Ledger;
use super::settings::Settings;
use super::stage::{OPERATOR, Stage};
use super::timeline::{Moment, peak};
use super::watch::{Seen, Watch, last};
use kcg_demo::terminal::Expect;

/// How often all that is watched is looked at.
const BEAT: Duration = Duration::from_millis(250);
/// How often processes' costs are read.
const METER_EVERY: Duration = Duration::from_secs(1);
/// A pod's rate is the mean over so long, in milliseconds.
const RATE_WINDOW: u64 = 2000;
/// How long a successor may take: a Lease that nobody renews is free after 15 s.
const SUCCESSION: Duration = Duration::from_mins(1);
/// The namespace of the story's groups.
pub const NAMESPACE: &str = "default";

/// What is known right now of one group.
#[derive(Debug)]
pub struct Now {
    pub group: Seen,
    pub lag: GroupLag,
    /// Different records that were processed.
    pub processed: u64,
    /// The group's alerts that are pending or fire.
    pub alerts: Vec<AlertNow>,
}

impl Now {
    pub fn ready(&self) -> u64 {
        whole(last(&self.group.ready))
    }

    /// The most that were ready at once.
    pub fn most_ready(&self) -> u64 {
        whole(Some(peak(&self.group.ready)))
    }

    pub fn wanted(&self) -> u64 {
        whole(last(&self.group.wanted))
    }

    pub fn ceiling(&self) -> u64 {
        whole(last(&self.group.ceiling))
    }

    /// All records that the group has yet to commit.
    pub fn behind(&self) -> u64 {
        whole(Some(self.lag.latest().iter().sum()))
    }

    /// Whether so many records were processed and their offsets committed.
    pub fn is_drained(&self, records: u64) -> bool {
        self.processed >= records && !self.lag.partitions.is_empty() && self.behind() == 0
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Counts of pods and records.
fn whole(value: Option<f64>) -> u64 {
    value.unwrap_or_default() as u64
}

/// The teller, with all that was seen so far.
#[derive(Debug)]
pub struct Teller {
    pub settings: Settings,
    pub stage: Stage,
    pub clock: Clock,
    pub groups: Vec<Subscription>,
    pub chapters: Vec<Moment>,
    pub marks: Vec<Moment>,
    pub watch: Watch,
    pub broker: Broker,
    pub alerts: Alerts,
    pub ledgers: BTreeMap<String, Ledger>,
    pub generations: Generations,
    pub meter: Meter,
    /// Where the story begins in the API server's log.
    pub begin: Mark,
    dashboard: Dashboard,
    metered: Instant,
}

impl Teller {
    /// Begins to watch the groups and their topics on a stage that stands.
    pub async fn begin(
        settings: Settings,
        stage: Stage,
        mut dashboard: Dashboard,
        groups: Vec<Subscription>,
    ) -> Result<Self> {
        dashboard.connect(&stage.plane)?;
        let clock = Clock::start();
        let client = stage.plane.client().await?;
        let observer = KafkaObserver::new(&stage.kafka.bootstrap_servers())?;
        let mut teller = Self {
            watch: Watch::start(&client, NAMESPACE, clock),
            broker: Broker::watch(observer, groups.clone(), clock),
            alerts: Alerts::watch(stage.monitoring.clone(), clock),
            begin: stage.plane.audit_log()?.mark()?,
            settings,
            stage,
            clock,
            groups,
            chapters: Vec::new(),
            marks: Vec::new(),
            ledgers: BTreeMap::new(),
            generations: Generations::default(),
            meter: Meter::default(),
            dashboard,
            metered: clock.began(),
        };
        // What the processes have cost before is not the story's.
        teller.read_meter();
        Ok(teller)
    }

    pub fn chapter(&mut self, text: &str) -> Result<()> {
        self.chapters.push(Moment { at: self.clock.now(), text: text.to_owned() });
        self.dashboard.heading(text)
    }

    /// What was done or happened now; the time of it.
    pub fn mark(&mut self, text: &str) -> f64 {
        let at = self.clock.now();
        self.marks.push(Moment { at, text: text.to_owned() });
        at
    }

    pub fn say(&self, text: &str) -> Result<()> {
        self.dashboard.say(text)
    }

    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.dashboard.run(command, expect).await
    }

    pub async fn all(&self, commands: &[&str]) -> Result<()> {
        for command in commands {
            self.run(command, Expect::Success).await?;
        }
        Ok(())
    }

    /// Shows what is going on until every group has `reached` it.
    pub async fn until(&mut self, what: &str, limit: Duration, reached: impl Fn(&Now) -> bool) -> Result<()> {
        self.wait(what, limit, async |teller| {
            let now = teller.look()?;
            if now.iter().all(&reached) {
                return Ok(Break(()));
            }
            let seen: Vec<_> =
                now.iter().map(|now| (now.ready(), now.wanted(), now.behind(), now.processed)).collect();
            Ok(Continue(format!("ready, wanted, behind and processed are {seen:?}")))
        })
        .await
    }

    /// Waits until Prometheus says this value.
    pub async fn until_metric(&mut self, expression: &str, value: f64, limit: Duration) -> Result<()> {
        self.wait(&format!("{expression} to be {value}"), limit, async |teller| {
            teller.look()?;
            let seen = teller.stage.monitoring.query(expression).await;
            let is_reached =
                matches!(seen.as_deref(), Ok([sample]) if (sample.value - value).abs() < f64::EPSILON);
            if is_reached {
                return Ok(Break(()));
            }
            Ok(Continue(match seen {
                Ok(samples) => {
                    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
                    format!("Prometheus says {values:?}")
                }
                Err(error) => format!("Prometheus cannot be asked: {error}"),
            }))
        })
        .await
    }

    /// Waits until another controller than that one, or another process of its pod, holds the Lease, and says which.
    pub async fn until_succeeded(&mut self, leader: &str) -> Result<()> {
        let successor = self
            .wait("another controller with the Lease", SUCCESSION, async |teller| {
                teller.look()?;
                let holder = teller.leader().await?;
                let is_another = !holder.is_empty() && holder != leader;
                Ok(if is_another { Break(holder) } else { Continue(format!("its holder is {holder:?}")) })
            })
            .await?;
        self.say(&format!("(the Lease has passed to {successor})"))
    }

    /// Looks again and again until what is looked for has come, or the time is over.
    async fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl AsyncFnMut(&mut Self) -> Result<ControlFlow<T, String>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let seen = match look(self).await? {
                Break(come) => return Ok(come),
                Continue(seen) => seen,
            };
            ensure!(begun.elapsed() <= limit, "{what} did not come within {} s: {seen}", limit.as_secs());
            self.stage.kafka.must_run()?;
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Fails where a group has nothing left to process: what is done to it next is to be done in the middle.
    pub fn must_be_behind(&mut self, group: &str) -> Result<()> {
        self.look()?;
        let left = self.now(group).behind();
        ensure!(
            left > 0,
            "group {group} had processed all its records before its middle was seen: send more"
        );
        Ok(())
    }

    /// Whether an alert has fired since that time of the story.
    pub fn has_fired(&self, alert: &str, since: f64) -> bool {
        let fired =
            |span: &Span| span.alert == alert && span.state == AlertState::Firing && span.from >= since;
        self.alerts.spans().iter().any(fired)
    }

    /// SIGKILL to the process of one of a group's consumers, and to the controller that holds the Lease: the holder's
    /// identity.
    pub async fn kill_both(&mut self, group: &str) -> Result<String> {
        let consumer = self.kill(NAMESPACE, &format!("{group}-"))?;
        self.mark("consumer killed");
        self.say(&format!("(SIGKILL: {consumer}, which had no chance to commit or to leave the group)"))?;
        let leader = self.leader().await?;
        ensure!(!leader.is_empty(), "no controller holds the Lease, so there is no leader to kill");
        // The pod's name, and what tells its processes apart.
        let controller = self.kill(OPERATOR, leader.rsplit_once('_').map_or(&*leader, |(pod, _)| pod))?;
        self.mark("controller killed");
        self.say(&format!("(SIGKILL: {controller}, which held the Lease)"))?;
        Ok(leader)
    }

    /// Who holds the Lease.
    async fn leader(&self) -> Result<String> {
        let namespace = format!("--namespace={OPERATOR}");
        let holder = ["get", "lease", OPERATOR, &namespace, "-o=jsonpath={.spec.holderIdentity}"];
        Ok(self.stage.plane.kubectl(&holder).await?.ok()?)
    }

    fn kill(&self, namespace: &str, prefix: &str) -> Result<String> {
        let runs = self.stage.node.runs_of(namespace, prefix);
        let run = runs.iter().rev().find(|run| run.pid().is_some()).context("no such process runs")?;
        run.kill();
        Ok(run.pod.clone())
    }

    /// Reads the logs and the processes, shows what is known now, and says it.
    pub fn look(&mut self) -> Result<Vec<Now>> {
        for Subscription { group, .. } in &self.groups {
            let ledger = self.ledgers.entry(group.clone()).or_default();
            for run in self.stage.node.runs_of(NAMESPACE, &format!("{group}-")) {
                ledger.read(&run.pod, &run.log())?;
            }
        }
        self.generations.read(&self.stage.kafka.log_path(), &self.clock)?;
        if self.metered.elapsed() > METER_EVERY {
            self.read_meter();
        }
        let now: Vec<Now> = self.groups.iter().map(|subscription| self.now(&subscription.group)).collect();
        self.show(&now)?;
        Ok(now)
    }

    fn read_meter(&mut self) {
        self.metered = Instant::now();
        let operator = self.stage.node.runs_of(OPERATOR, "").into_iter().filter_map(|run| run.pid());
        let plane = self.stage.plane.processes().into_iter().map(|(_, pid)| (Side::ControlPlane, pid));
        self.meter.read(plane.chain(operator.map(|pid| (Side::Operator, pid))).collect::<Vec<_>>());
    }

    fn now(&self, group: &str) -> Now {
        let alerts = self.alerts.spans().into_iter().filter(|span| span.to.is_none());
        let of_group = alerts.filter(|span| span.alert.ends_with(&format!("-{group}")));
        Now {
            group: self.watch.group(group),
            lag: self.broker.group(group),
            processed: self.ledgers.get(group).map_or(0, Ledger::distinct),
            alerts: of_group
                .map(|span| AlertNow { name: span.alert, firing: span.state == AlertState::Firing })
                .collect(),
        }
    }

    fn show(&self, now: &[Now]) -> Result<()> {
        let group = |(subscription, now): (&Subscription, &Now)| {
            let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            let worst = now.lag.latest().into_iter().reduce(f64::max);
            GroupSnapshot {
                name: subscription.group.clone(),
                lag: now.behind(),
                worst: whole(worst),
                ready: count(now.ready()),
                wanted: count(now.wanted()),
                ceiling: count(now.ceiling()),
                sent: whole(last(&now.lag.sent)),
                processed: now.processed,
                rebalances: self.generations.of(&subscription.group).len() as u64,
                alerts: now.alerts.clone(),
                pods: self.rates(&subscription.group, &now.group.pods),
            }
        };
        let groups = self.groups.iter().zip(now).map(group).collect();
        self.dashboard.show(&Snapshot { at: self.clock.now(), groups })
    }

    /// What each pod has processed in the last seconds.
    fn rates(&self, group: &str, pods: &[String]) -> Vec<PodRate> {
        let records = self.ledgers.get(group).map(Ledger::records).unwrap_or_default();
        let since = self.clock.milliseconds().saturating_sub(RATE_WINDOW);
        let rate = |pod: &String| {
            let recent =
                records.iter().rev().take(100_000).filter(|record| record.at >= since && record.pod == *pod);
            #[allow(clippy::cast_precision_loss)] // Records of two seconds.
            let rate = recent.count() as f64 * 1000.0 / RATE_WINDOW as f64;
            PodRate { name: pod.clone(), rate }
        };
        pods.iter().map(rate).collect()
    }
}
