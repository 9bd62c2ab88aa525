//! Runs the life once, with the faults of a plan.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{EVENT, GROUP};
use kube::api::DeleteParams;
use serde_json::Value;

use crate::faults::Faults;
use crate::life::{self, Step};
use crate::oracle::{self, Clean, Observed};
use crate::plan::Plan;
use crate::proxy::{Hooks, Proxy};
use crate::recorder::{canonical, difference};
use crate::rig::{Rig, until_quiet};
use crate::supervisor::{Slot, supervise};

/// How long a step may take: every fault is over by then, and a restarted operator has the Lease.
const LIMIT: Duration = Duration::from_secs(90);
/// Settled: this long without a write.
const SETTLED: Duration = Duration::from_secs(10);
/// After the groups are gone there is nothing left to repair.
const SETTLED_WITHOUT_GROUPS: Duration = Duration::from_secs(3);
/// Between the steps of a clean run, so that each write belongs to its step.
const BETWEEN_STEPS: Duration = Duration::from_secs(4);

/// The result of a plan.
#[derive(Debug)]
pub struct Run {
    pub violations: Vec<String>,
    /// Whether each rule met a request.
    pub all_met: bool,
    pub took: Duration,
}

/// One life in progress.
struct Life<'a> {
    rig: &'a Rig,
    namespace: Namespace,
    groups: Vec<String>,
    slot: Slot,
    proxy: Proxy,
    began: Instant,
}

/// Runs a plan, and judges it by a clean run.
pub async fn run(rig: &Rig, plan: &Plan, clean: &Clean) -> Result<Run> {
    let namespace = rig.namespace().await?;
    life::prepare(&namespace).await?;
    let (slot, name) = (Slot::default(), namespace.name.clone());
    let hooks = hooks(&slot, &namespace, plan.groups);
    let (proxy, kubeconfig) = rig.proxy(&name, Faults::of(plan), hooks).await?;
    let log = proxy.log().clone();
    let start = rig.starter(&name, kubeconfig);
    let supervision = supervise(&slot, log, start);
    let life = Life { rig, groups: life::names(plan.groups), slot, proxy, namespace, began: Instant::now() };
    let mut observed = Observed::default();
    let lived = life.live(plan, clean, &mut observed).await;
    life.observe(&mut observed);
    let mut violations = oracle::violations(plan, clean, &observed);
    if let Err(error) = lived {
        // The others follow from a life that did not reach its end.
        violations.retain(|violation| !violation.starts_with("I6"));
        violations.insert(0, format!("{error:#}"));
    }
    drop(supervision);
    life.slot.kill();
    rig.forget(&name);
    Ok(Run { violations, all_met: observed.all_met, took: life.began.elapsed() })
}

/// What faults do to the process of a slot, and to the groups.
fn hooks(slot: &Slot, namespace: &Namespace, groups: usize) -> Hooks {
    let (killed, ended) = (slot.clone(), slot.clone());
    let api = namespace.api(GROUP);
    Hooks {
        kill: Box::new(move || killed.kill()),
        term: Box::new(move || ended.terminate()),
        remove: Box::new(move || {
            let api = api.clone();
            Box::pin(async move {
                for name in life::names(groups) {
                    // What the life has deleted is gone already.
                    let _ = api.delete(&name, &DeleteParams::default()).await;
                }
            })
        }),
    }
}

/// A run without faults.
pub async fn learn(rig: &Rig, groups: usize) -> Result<Clean> {
    let plan = Plan::without_faults(groups);
    let namespace = rig.namespace().await?;
    life::prepare(&namespace).await?;
    let (slot, name) = (Slot::default(), namespace.name.clone());
    let (proxy, kubeconfig) = rig.proxy(&name, Faults::of(&plan), Hooks::none()).await?;
    let log = proxy.log().clone();
    let start = rig.starter(&name, kubeconfig);
    let supervision = supervise(&slot, log, start);
    let began = Instant::now();
    let groups = life::names(groups);
    let life = Life { rig, namespace, groups, slot, proxy, began };
    let (mut clean, mut observed) = (Clean::default(), Observed::default());
    life.until_ready().await?;
    for step in Step::ALL {
        if step == Step::Delete {
            clean.history = life.history()?;
            observed.history.clone_from(&clean.history);
        }
        clean.states.push(life.learn(step).await?);
    }
    clean.events = life.events().await?;
    observed.events.clone_from(&clean.events);
    life.observe(&mut observed);
    clean.counts = observed.counts.clone();
    let violations = oracle::violations(&plan, &clean, &observed);
    if !violations.is_empty() {
        bail!("the run without faults breaks promises: {violations:#?}");
    }
    drop(supervision);
    life.slot.kill();
    rig.forget(&name);
    Ok(clean)
}

impl Life<'_> {
    async fn live(&self, plan: &Plan, clean: &Clean, observed: &mut Observed) -> Result<()> {
        self.until_ready().await?;
        let is_removed = || plan.removes() && self.proxy.faults().all_met();
        for (step, wanted) in Step::ALL.into_iter().zip(&clean.states) {
            if is_removed() {
                break;
            }
            if step == Step::Delete {
                let settled = self.settle(SETTLED, &clean.states[clean.states.len() - 2]).await;
                // The last Event may be sent only now.
                if is_removed() {
                    break;
                }
                settled?;
                observed.history = self.history()?;
                self.inspect(observed).await;
            }
            let acted = step.act(&self.namespace, &self.groups, &self.rig.recorder).await;
            acted.or_else(|error| if is_removed() { Ok(()) } else { Err(error) })?;
            self.until_it_is(step, wanted, is_removed).await?;
        }
        let end = &clean.states[clean.states.len() - 1];
        if is_removed() {
            self.until_it_is(Step::Delete, end, || false).await?;
            // There is no clean life that ends at this request.
            observed.history.clone_from(&clean.history);
        }
        observed.events = self.events().await?;
        self.settle(SETTLED_WITHOUT_GROUPS, end).await
    }

    /// Waits for the objects that a step leads to, unless the life is over before.
    async fn until_it_is(
        &self,
        step: Step,
        wanted: &BTreeMap<String, String>,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        let name = &self.namespace.name;
        let differs =
            |objects: &_| if is_over() { None } else { difference(wanted, &canonical(objects, name)) };
        let reached = self.rig.recorder.until(name, LIMIT, differs).await;
        reached.with_context(|| format!("I1: {step:?}"))
    }

    async fn until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while !self.slot.is_ready() {
            if began.elapsed() > LIMIT {
                bail!("I1: the operator is not ready within {LIMIT:?}: {:?}", self.slot.facts());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until nothing has been written for this long, and the objects are still the same.
    async fn settle(&self, quiet: Duration, wanted: &BTreeMap<String, String>) -> Result<()> {
        let since = Instant::now();
        if !until_quiet(|| self.proxy.log().quiet_for(since), quiet, LIMIT).await {
            bail!("I2: no {quiet:?} without a write within {LIMIT:?}");
        }
        let name = &self.namespace.name;
        match difference(wanted, &canonical(&self.rig.recorder.objects(name), name)) {
            Some(difference) => bail!("I1: it did not stay: {difference}"),
            None => Ok(()),
        }
    }

    /// One step of a clean run; returns the objects after it.
    async fn learn(&self, step: Step) -> Result<BTreeMap<String, String>> {
        let name = &self.namespace.name;
        let began = Instant::now();
        step.act(&self.namespace, &self.groups, &self.rig.recorder).await?;
        let holds = |objects: &_| {
            let group = self.groups.iter().find(|group| !step.holds(objects, group))?;
            Some(format!("{step:?} of {group}: {objects:#?}"))
        };
        self.rig.recorder.until(name, LIMIT, holds).await?;
        if !until_quiet(|| self.proxy.log().quiet_for(began), BETWEEN_STEPS, LIMIT).await {
            bail!("{step:?}: the operator writes all the time");
        }
        Ok(canonical(&self.rig.recorder.objects(name), name))
    }

    /// The history up to now. It ends before the groups are deleted: until the watch of groups reports a
    /// deletion, a child that the garbage collector took is created again, for an owner that is gone, and
    /// is taken, too.
    fn history(&self) -> Result<BTreeMap<String, usize>> {
        let name = &self.namespace.name;
        Ok(oracle::history(&self.rig.recorder.versions(name), &self.rig.writes(name)?))
    }

    /// How often each Event of the operator was recorded.
    async fn events(&self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for event in self.namespace.list(EVENT).await? {
            let of = |object: &Value| object.as_str().unwrap_or_default().to_owned();
            let regarding = &event["regarding"];
            let name =
                format!("{} of {} {}", of(&event["reason"]), of(&regarding["kind"]), of(&regarding["name"]));
            *counts.entry(name).or_default() += event["series"]["count"].as_u64().unwrap_or(1);
        }
        Ok(counts)
    }

    /// What only the living process tells.
    async fn inspect(&self, observed: &mut Observed) {
        let Some(replica) = self.slot.replica() else { return };
        if let Ok((200, metrics)) = replica.get("/metrics").await {
            observed.metrics = metrics;
        }
        let folder = format!("/proc/{}", replica.process().pid());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        observed.memory_kib = kib.unwrap_or_default();
        observed.files = fs::read_dir(format!("{folder}/fd")).map_or(0, Iterator::count);
    }

    fn observe(&self, observed: &mut Observed) {
        let name = &self.namespace.name;
        observed.versions = self.rig.recorder.versions(name);
        observed.counts = self.proxy.log().counts();
        observed.all_met = self.proxy.faults().all_met();
        observed.facts = self.slot.facts();
        let handed_over = observed.facts.handed_over.iter();
        observed.successions =
            handed_over.map(|ended| self.proxy.log().lease_written_after(*ended)).collect();
        observed.log = self.slot.replica().map(|replica| replica.process().log()).unwrap_or_default();
    }
}
