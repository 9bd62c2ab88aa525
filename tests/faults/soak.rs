//! Many events of random changes, and random faults, in one life of one process: what it holds must not
//! grow with them.
#![allow(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use kcg_devcluster::{ControlPlane, Replica, tools, usage};
use kcg_tests::deploy;
use kcg_tests::env::{TestEnv, all_crds};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, SERVICE, TOPIC, is_observed};
use kcg_tests::{is_long, measured, metric, slope};
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::life::{self, TOPIC_NAME};
use crate::proxy::{Hooks, Proxy, Upstream};
use crate::rig::until_quiet;

const GROUPS: usize = 20;
/// How many changes are made at a time.
const SIDE_BY_SIDE: usize = 16;
/// How many samples are taken of the process.
const SAMPLES: usize = 20;
/// Of these, the first ones are not judged: caches, connections and buffers are filled.
const WARM_UP: usize = 5;
/// How long the groups may take to settle after the last fault.
const LIMIT: Duration = Duration::from_mins(2);
const QUIET: Duration = Duration::from_secs(5);
/// How long the events between two samples may take.
const STUCK: Duration = Duration::from_mins(20);

/// What the process holds after so many events of its watches.
#[derive(Clone, Copy, Debug)]
struct Sample {
    events: usize,
    memory_kib: f64,
    files: f64,
    tasks: f64,
}

/// The life of one process.
struct Soak {
    namespace: Namespace,
    names: Vec<String>,
    replica: Replica,
    proxy: Proxy,
    _webhook: Replica,
    _env: TestEnv,
}

/// Changes objects until the process has got this many events, and judges it.
pub async fn soak(seed: u64) -> Result<()> {
    // A lost event is followed by a list, which takes its time.
    let (events, one_lost_of) = if is_long() { (1_000_000, 5000) } else { (3000, 100) };
    let soak = Soak::start(seed, one_lost_of).await?;
    let began = Instant::now();
    let mut samples = vec![soak.sample().await?];
    let before = samples[0].events;
    for part in 1..=SAMPLES {
        let seed = seed.wrapping_add(part as u64);
        soak.change(before + part * events / SAMPLES, seed).await?;
        let sample = soak.sample().await?;
        if is_long() {
            tools::to_stderr(&format!("{sample:?} after {} s", began.elapsed().as_secs()));
        }
        samples.push(sample);
    }
    let took = began.elapsed();
    let faults = soak.proxy.faults().stop();
    let title = format!("{events} events and {faults} faults in {} s, KCG_FAULT_SEED={seed}", took.as_secs());
    measured(&report(&title, &samples));
    soak.settles().await?;
    samples.push(soak.sample().await?);
    soak.leaves_nothing().await?;
    judge(&samples)
}

impl Soak {
    async fn start(seed: u64, one_lost_of: usize) -> Result<Self> {
        let plane = ControlPlane::builder()
            .scheduler(false)
            .controllers("garbage-collector-controller")
            .crds(all_crds());
        let env = TestEnv::install(plane.start().await?, &deploy("scopes/cluster")).await?;
        let webhook = env.operator.start_webhook(&[]).await?;
        let upstream = Upstream::of(env.plane.kubeconfig_path()).await?;
        let proxy = Proxy::start(&upstream, Faults::random(seed, one_lost_of), Hooks::none()).await?;
        let copy = env.plane.folder().join("soak.kubeconfig");
        let kubeconfig = proxy.kubeconfig(&upstream, env.operator.controller_kubeconfig(), copy)?;
        let namespace = env.namespace("soak").await?;
        life::prepare(&namespace).await?;
        let names = life::names(GROUPS);
        for name in &names {
            namespace.create_group(name, &json!({})).await?;
        }
        let flag = format!("--kubeconfig={}", kubeconfig.display());
        let replica = env.operator.spawn_controller("soak", &[&flag])?;
        let soak =
            Self { namespace: namespace.within(LIMIT), names, replica, proxy, _webhook: webhook, _env: env };
        for name in &soak.names {
            soak.namespace.children_exist(name).await?;
        }
        Ok(soak)
    }

    /// Makes random changes until the process has got this many events. One may fail: an object may just have
    /// been deleted.
    async fn change(&self, until: usize, seed: u64) -> Result<()> {
        let began = Instant::now();
        let workers = (0..SIDE_BY_SIDE).map(async |worker| -> Result<()> {
            let mut random = Rng::with_seed(seed ^ ((worker as u64) << 32));
            while self.proxy.log().events() < until {
                let name = random.choice(&self.names).expect("there are groups");
                let _ = change(&self.namespace, name, &mut random).await;
                self.replica.process().must_run()?;
                ensure!(
                    began.elapsed() < STUCK,
                    "{} events after {STUCK:?}, not {until}",
                    self.proxy.log().events()
                );
            }
            Ok(())
        });
        futures::future::try_join_all(workers).await?;
        Ok(())
    }

    async fn sample(&self) -> Result<Sample> {
        let pid = self.replica.process().pid();
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let (status, metrics) = self.replica.get("/metrics").await?;
        ensure!(status == 200, "/metrics: HTTP {status}");
        let tasks = metric(&metrics, "tasks", |_| true).context("no tasks")?;
        let memory = usage::resident_kib(pid).context("no process")?;
        Ok(Sample {
            events: self.proxy.log().events(),
            memory_kib: memory as f64,
            files: files as f64,
            tasks,
        })
    }

    /// Whether all groups become as they should be, and nothing is written then.
    async fn settles(&self) -> Result<()> {
        self.namespace.patch(TOPIC, TOPIC_NAME, &json!({"spec": {"partitions": 100}})).await?;
        for name in &self.names {
            let spec = json!({"spec": {"paused": false, "minReplicas": 2, "maxReplicas": null}});
            self.namespace.patch(GROUP, name, &spec).await?;
        }
        for name in &self.names {
            self.namespace.bounds_are(name, 2, 100).await?;
            self.namespace.eventually(GROUP, name, "its status is of its spec", is_observed).await?;
            self.namespace.children_exist(name).await?;
        }
        let since = Instant::now();
        let quiet = until_quiet(|| self.proxy.log().quiet_for(since), QUIET, LIMIT).await;
        ensure!(quiet, "no {QUIET:?} without a write within {LIMIT:?}");
        Ok(())
    }

    /// Deletes the groups, and waits until nothing of them is left.
    async fn leaves_nothing(&self) -> Result<()> {
        for name in &self.names {
            self.namespace.delete(GROUP, name).await?;
        }
        for name in &self.names {
            for kind in CHILDREN {
                self.namespace.eventually_gone(kind, name).await?;
            }
        }
        Ok(())
    }
}

/// One change of what belongs to a group, as often as it happens in a cluster: most are what the
/// autoscaler and the Deployment's controller report.
async fn change(namespace: &Namespace, name: &str, random: &mut Rng) -> Result<()> {
    let patch = async |kind: Kind, patch: Value| namespace.patch(kind, name, &patch).await.map(drop);
    match random.u32(..1000) {
        0..600 => {
            let average = json!(random.u32(..100_000).to_string());
            let metric =
                json!({"metric": {"name": "kafka_consumer_lag"}, "current": {"averageValue": average}});
            let status = json!({
                "currentReplicas": random.u32(..9), "desiredReplicas": random.u32(..9),
                "currentMetrics": [{"type": "Pods", "pods": metric}], "conditions": [],
            });
            namespace.patch_status(AUTOSCALER, name, &status).await.map(drop)
        }
        600..800 => {
            let pods = random.u32(1..9);
            let ready = random.u32(..=pods);
            let status = json!({"replicas": pods, "updatedReplicas": pods, "readyReplicas": ready,
                "availableReplicas": ready, "observedGeneration": random.u32(..1000)});
            namespace.patch_status(DEPLOYMENT, name, &status).await.map(drop)
        }
        800..880 => {
            let kind = random.choice(CHILDREN).expect("there are kinds");
            patch(kind, json!({"metadata": {"annotations": {"soak": random.u32(..).to_string()}}})).await
        }
        880..920 => {
            let port =
                json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": random.u32(1..9)}]);
            namespace.json_patch(SERVICE, name, &port).await.map(drop)
        }
        920..950 => patch(GROUP, json!({"spec": {"minReplicas": random.u32(1..4)}})).await,
        950..960 => patch(GROUP, json!({"spec": {"paused": random.bool()}})).await,
        960..970 => patch(GROUP, json!({"metadata": {"labels": {"soak": random.u32(..).to_string()}}})).await,
        970..980 => {
            let partitions = json!({"spec": {"partitions": random.u32(4..100)}});
            namespace.patch(TOPIC, TOPIC_NAME, &partitions).await.map(drop)
        }
        980..995 => namespace.delete(random.choice(CHILDREN).expect("there are kinds"), name).await,
        _ => {
            namespace.delete(GROUP, name).await?;
            namespace.create_group(name, &json!({})).await.map(drop)
        }
    }
}

fn report(title: &str, samples: &[Sample]) -> String {
    let mut text = format!("{title}\n\n| events | resident KiB | open files | tasks |\n|---|---|---|---|\n");
    for Sample { events, memory_kib, files, tasks } in samples {
        let _ = writeln!(text, "| {events} | {memory_kib} | {files} | {tasks} |");
    }
    let [memory, files, tasks] = growth(&samples[WARM_UP..]);
    let _ = writeln!(
        text,
        "| growth after the first {} | {memory:.0} | {files:.0} | {tasks:.0} |",
        samples[WARM_UP].events
    );
    text
}

/// By how much a straight line through the samples grows from the first to the last: memory in KiB,
/// files, tasks.
fn growth(samples: &[Sample]) -> [f64; 3] {
    let fields: [fn(&Sample) -> f64; 3] =
        [|sample| sample.memory_kib, |sample| sample.files, |sample| sample.tasks];
    let events = |sample: &Sample| sample.events as f64;
    let range = samples.last().map_or(0.0, events) - samples.first().map_or(0.0, events);
    fields.map(|field| {
        let points: Vec<(f64, f64)> = samples.iter().map(|sample| (events(sample), field(sample))).collect();
        slope(&points).unwrap_or(0.0) * range
    })
}

/// Files and tasks of requests in flight come and go; memory may still settle by a little.
fn judge(samples: &[Sample]) -> Result<()> {
    let [memory, files, tasks] = growth(&samples[WARM_UP..]);
    ensure!(memory < 8.0 * 1024.0, "the memory grew by {memory:.0} KiB");
    ensure!(files < 50.0 && tasks < 100.0, "{files:.0} files and {tasks:.0} tasks more");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: impl Fn(usize) -> f64) -> Vec<Sample> {
        let sample = |events| Sample { events, memory_kib: of(events), files: 30.0, tasks: 9.0 };
        (0..22).map(|number| sample(number * 1000)).collect()
    }

    #[test]
    fn a_leak_is_growth_and_noise_is_none() {
        let noisy = samples(|events| if events % 2000 == 0 { 20_000.0 } else { 21_000.0 });
        assert!(judge(&noisy).is_ok());
        let leaking = samples(|events| 20_000.0 + events as f64);
        let [memory, files, tasks] = growth(&leaking[WARM_UP..]);
        assert!(
            (memory - 16_000.0).abs() < 1.0 && files.abs() + tasks.abs() < 1.0,
            "{memory}, {files}, {tasks}"
        );
        assert!(judge(&leaking).is_err());
    }
}
