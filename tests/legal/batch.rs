//! One batch of random groups: created, changed, created again, deleted. Between these, the groups
//! come to rest and are judged.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fastrand::Rng;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kcg_tests::objects::GROUP;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::groups;
use crate::judge;
use crate::rig::Rig;
use crate::tally::Tally;

/// Requests at once.
const AT_ONCE: usize = 8;
/// How long an answer, and the rest of a batch, may take. The API server gives a webhook ten seconds.
const ANSWER: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_mins(2);

/// How large a batch is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub objects: usize,
    pub transitions: usize,
    /// How long nothing changes of a group at rest.
    pub quiet: Duration,
}

pub struct Batch<'a> {
    rig: &'a Rig,
    tally: &'a mut Tally,
    random: Rng,
    /// What names the batch in a finding.
    label: String,
    size: Size,
    /// The admitted groups with their specs.
    specs: BTreeMap<String, Value>,
    /// The generations of their children when they were last at rest.
    generations: HashMap<String, BTreeMap<&'static str, i64>>,
}

impl<'a> Batch<'a> {
    pub fn new(rig: &'a Rig, tally: &'a mut Tally, seed: u64, number: usize, size: Size) -> Self {
        // Each batch can be repeated without those before it.
        let mut random = Rng::with_seed(seed);
        for _ in 0..number {
            random = random.fork();
        }
        let label = format!("KCG_LEGAL_SEED={seed} KCG_LEGAL_BATCH={number}");
        Self { rig, tally, random, label, size, specs: BTreeMap::new(), generations: HashMap::new() }
    }

    pub async fn run(mut self, number: usize) -> Result<()> {
        self.create(number).await?;
        self.settle("creation").await?;
        let mut left = self.size.transitions;
        while left > 0 && !self.specs.is_empty() {
            left -= self.change(left).await?;
            self.settle("transition").await?;
        }
        self.compare().await?;
        self.delete(&self.specs.keys().cloned().collect::<Vec<_>>()).await?;
        self.rig.healthy()?;
        self.tally.memory.push((self.tally.objects, self.rig.memory()?));
        Ok(())
    }

    async fn create(&mut self, number: usize) -> Result<()> {
        let groups: Vec<(String, Value)> = (0..self.size.objects)
            .map(|index| {
                let name = name(number, index, &mut self.random);
                let group = groups::group(&name, &mut self.random);
                (name, group)
            })
            .collect();
        self.tally.objects += groups.len();
        let rig = self.rig;
        let answers: Vec<_> = stream::iter(groups)
            .map(|(name, group)| async move {
                let created = timely(rig.create(&group)).await;
                (name, group, created)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (name, group, created) in answers {
            match created? {
                Ok(()) => {
                    self.tally.admitted += 1;
                    self.specs.insert(name, group["spec"].clone());
                }
                Err(refused) => self.tally.refuse(&format!("{} {group}", self.label), &refused),
            }
        }
        Ok(())
    }

    /// Changes each group once, at most `most` of them. Returns how many.
    async fn change(&mut self, most: usize) -> Result<usize> {
        let mut chosen: Vec<(&String, &Value)> = self.specs.iter().collect();
        self.random.shuffle(&mut chosen);
        let mut changes = Vec::new();
        for (name, spec) in chosen.into_iter().take(most) {
            changes.push((name.clone(), groups::changed(name, spec, &mut self.random)));
        }
        let count = changes.len();
        self.tally.transitions += count;
        let rig = self.rig;
        let answers: Vec<_> = stream::iter(changes)
            .map(|(name, spec)| async move {
                let changed = timely(rig.change(&name, &spec)).await;
                (name, spec, changed)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (name, spec, changed) in answers {
            match changed? {
                Ok(()) => {
                    self.tally.admitted_transitions += 1;
                    self.specs.insert(name, spec);
                }
                Err(refused) => {
                    let before = &self.specs[&name];
                    self.tally.refuse(&format!("{} from {before} to {spec}", self.label), &refused);
                }
            }
        }
        Ok(count)
    }

    /// Waits until the groups are at rest, and judges them.
    async fn settle(&mut self, after: &str) -> Result<()> {
        let names: Vec<String> = self.specs.keys().cloned().collect();
        let began = Instant::now();
        let observer = &self.rig.observer;
        let late = observer.until(&names, self.size.quiet, REST, |_, family| judge::settled(family)).await;
        // The quiet time itself is no time that the operator took.
        let took = began.elapsed().saturating_sub(self.size.quiet);
        self.tally.settled.push(took);
        for name in names {
            let family = observer.family(&name);
            let mut wrong = judge::wrong(&name, &family);
            wrong.extend(late.get(&name).cloned());
            let generations = judge::generations(&family);
            let before = self.generations.insert(name.clone(), generations.clone()).unwrap_or_default();
            wrong.extend(judge::rewritten(&before, &generations));
            if let Some(told) = judge::told(&family) {
                let of = format!("{} {name}: {told}; its spec: {}", self.label, self.specs[&name]);
                self.tally.tell(told.replace(&name, "NAME"), &of);
            }
            for what in wrong {
                let spec = &self.specs[&name];
                self.tally.find(format!("{} {name} after its {after}: {what}; its spec: {spec}", self.label));
            }
        }
        self.rig.healthy()
    }

    /// A changed group has the children of a new group of the same spec.
    async fn compare(&mut self) -> Result<()> {
        let is_whole = |name: &&String| judge::told(&self.rig.observer.family(name)).is_none();
        let all: Vec<String> = self.specs.keys().filter(is_whole).cloned().collect();
        let chosen: Vec<String> = all.into_iter().filter(|_| self.random.u8(..4) == 0).collect();
        let mut before = HashMap::new();
        for name in &chosen {
            before.insert(name.clone(), self.rig.observer.family(name));
        }
        self.delete(&chosen).await?;
        let mut renewed = Vec::new();
        for name in chosen {
            let spec = self.specs.remove(&name).unwrap_or_default();
            self.generations.remove(&name);
            let group = json!({"apiVersion": GROUP.api_version(), "kind": GROUP.name, "metadata": {"name": name}, "spec": spec});
            // An update may keep what a new group may not have.
            if spec["paused"] != true && timely(self.rig.create(&group)).await?.is_ok() {
                self.specs.insert(name.clone(), spec);
                renewed.push(name);
            }
        }
        self.settle("second creation").await?;
        for name in renewed {
            let [old, new] = [&before[&name], &self.rig.observer.family(&name)].map(judge::lasting);
            self.tally.compared += 1;
            if let Some(difference) = judge::difference(&old, &new) {
                let spec = &self.specs[&name];
                self.tally.find(format!("{} {name} has {difference}; its spec: {spec}", self.label));
            }
        }
        Ok(())
    }

    /// Deletes groups, and waits until nothing of them is left.
    async fn delete(&mut self, names: &[String]) -> Result<()> {
        let (groups, params) = (self.rig.namespace.api(GROUP), DeleteParams::default());
        let deleted = names.iter().map(|name| groups.delete(name, &params)).collect::<Vec<_>>();
        stream::iter(deleted).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let gone = |_: &str, family: &crate::observer::Family| match family.objects.keys().next() {
            None => Ok(()),
            Some(kind) => Err(format!("its {kind} is left behind")),
        };
        let left = self.rig.observer.until(names, Duration::ZERO, REST, gone).await;
        for (name, what) in left {
            self.tally.find(format!("{} {name}: {what}", self.label));
        }
        Ok(())
    }
}

/// Names are as long as they may be, now and then.
fn name(number: usize, index: usize, random: &mut Rng) -> String {
    let name = format!("g{number}-{index}");
    let wanted = if random.u8(..8) == 0 { 63 } else { random.usize(1..30) };
    format!("{name}{}", "x".repeat(wanted.saturating_sub(name.len())))
}

async fn timely<T>(answer: impl Future<Output = T>) -> Result<T> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => Ok(answer),
        Err(_) => bail!("no answer within {ANSWER:?}"),
    }
}

impl Rig {
    async fn create(&self, group: &Value) -> Result<(), kube::Error> {
        let object: DynamicObject = serde_json::from_value(group.clone()).map_err(kube::Error::SerdeError)?;
        self.namespace.api(GROUP).create(&PostParams::default(), &object).await.map(drop)
    }

    async fn change(&self, name: &str, spec: &Value) -> Result<(), kube::Error> {
        let change = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let change: json_patch::Patch = serde_json::from_value(change).map_err(kube::Error::SerdeError)?;
        let patch = Patch::Json::<()>(change);
        self.namespace.api(GROUP).patch(name, &PatchParams::default(), &patch).await.map(drop)
    }
}
