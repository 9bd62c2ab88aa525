//! The driver: watches fill a queue, workers empty it while this process leads. Floor 3.

mod metrics;
mod progress;
mod queue;
mod reconcile;
mod retry;
mod skew;

use futures::FutureExt as _;
use kcg_api::names;
use kcg_api::valid::TopicGrants;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::{Candidate, Elector, Leadership, LeaseMetrics, SystemClock, Timings, UnsafeTimings};
use kcg_runtime::probes::{Probes, ProbesError, Readiness, ReadinessCheck, registry};
use kcg_runtime::watch::{ObjectKey, WatchMetrics};
use kube::Client;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use crate::cluster::Scopes;
use crate::cluster::{Cluster, Touched, Watches};
use crate::keeper::{self, Keeper};
use metrics::Metrics;
use progress::{Progress, Shared};
use queue::Queue;
use reconcile::{Look, Outcome, Reconcile};

/// How many groups are worked on at a time. Each has up to five requests in flight.
const WORKERS: usize = 32;
/// How long one look at a group may take, with all its requests.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long writes that are under way may still take when the process is told to stop.
const FINISH: Duration = Duration::from_secs(15);
/// When a group is looked at again at which the code itself failed.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// What the controller needs to know.
#[derive(Debug)]
pub struct Settings {
    pub scopes: Scopes,
    /// Which namespaces' KafkaTopics a group of another namespace may name.
    pub grants: TopicGrants,
    /// Where /healthz, /readyz and /metrics are, over plain HTTP.
    pub probes: SocketAddr,
    pub candidate: Candidate,
    /// Where the operator keeps its certificates itself.
    pub certificates: Option<keeper::Settings>,
}

/// Why the process ends other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error(transparent)]
    Probes(#[from] ProbesError),
    #[error(transparent)]
    Timings(#[from] UnsafeTimings),
    #[error("{0} ended by itself, which is a fault; start the process again")]
    Ended(&'static str),
}

/// Runs the controller until `stop` is cancelled (SIGTERM) and what was under way has ended.
pub async fn run(
    settings: Settings,
    client: Client,
    requests: &RequestMetrics,
    stop: CancellationToken,
) -> Result<(), ControllerError> {
    let probes = Probes::bind(settings.probes).await?;
    let (mut registry, readiness) =
        (registry(names::METRIC_PREFIX, env!("CARGO_PKG_VERSION")), Readiness::default());
    requests.register(&mut registry);
    let cluster = Arc::new(Cluster::new(client.clone(), settings.grants, &settings.candidate.identity));
    let queue = Arc::new(Queue::default());
    let metrics = Metrics::register(&mut registry, cluster.clone(), queue.clone());
    let lease_metrics = LeaseMetrics::default();
    lease_metrics.register(&mut registry);
    let watches = Watches::new(&client, &settings.scopes, cluster.clone());
    WatchMetrics::new(watches.pulses()).register(&mut registry);
    let crd_skew = skew::watch(client.clone(), skew::gauge(&mut registry));
    let clock = Arc::new(SystemClock::default());
    let keeper = settings
        .certificates
        .map(|certificates| Keeper::new(client.clone(), &certificates, clock.clone(), &mut registry));
    let (elector, leading) =
        Elector::new(client, settings.candidate, Timings::default(), clock, lease_metrics)?;

    // The supporting parts end when the work has, not when the process is told to stop.
    let (over, synced) = (CancellationToken::new(), CancellationToken::new());
    let gates = watches.keep_gates(&readiness);
    let supporting = over.clone();
    tokio::spawn(async move { supporting.run_until_cancelled(gates).await });
    let supporting = over.clone();
    tokio::spawn(async move { supporting.run_until_cancelled(crd_skew).await });
    tokio::spawn(unready_when_stopped(readiness.check("shutdown", ""), stop.clone()));
    tokio::spawn(probes.serve(registry, readiness, over.clone()));
    let filled = queue.clone();
    let listener = move |touched: Touched| filled.add(touched);
    let watching = tokio::spawn(watches.run(listener, synced.clone(), over.clone()));

    let driver = Driver { cluster, queue, metrics, keeper: keeper.map(Arc::new), progress: Mutex::default() };
    let working = Arc::new(driver).work(elector, leading, synced, stop);
    let ended = tokio::select! {
        worked = working => worked,
        _ = watching => Err(ControllerError::Ended("a watch")),
    };
    over.cancel();
    ended
}

/// A process that is on its way out says so.
async fn unready_when_stopped(gate: ReadinessCheck, stop: CancellationToken) {
    gate.pass();
    stop.cancelled().await;
    gate.fail("the process is stopping");
}

/// Works through the queue for as long as it may.
struct Driver {
    cluster: Arc<Cluster>,
    queue: Arc<Queue>,
    metrics: Metrics,
    keeper: Option<Arc<Keeper>>,
    progress: Mutex<HashMap<ObjectKey, Progress>>,
}

impl Driver {
    /// Stands for election once all watches have told everything, so that a new leader begins with a full view, and
    /// gives the Lease back when the last write has ended.
    async fn work(
        self: Arc<Self>,
        elector: Elector,
        mut leading: watch::Receiver<Option<Leadership>>,
        synced: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), ControllerError> {
        if stop.run_until_cancelled(synced.cancelled()).await.is_none() {
            return Ok(());
        }
        tracing::info!(groups = self.cluster.keys().len(), "watches are filled");
        let resign = CancellationToken::new();
        let election = tokio::spawn(elector.run(resign.clone()));
        loop {
            let leadership = tokio::select! {
                () = stop.cancelled() => break,
                leadership = next_leadership(&mut leading) => leadership,
            };
            let leadership = leadership.ok_or(ControllerError::Ended("the election"))?;
            self.clone().lead(leadership, &stop).await;
        }
        resign.cancel();
        // The Lease's own requests have their deadlines.
        election.await.map_err(|_| ControllerError::Ended("the election"))
    }

    /// Looks at every group, and then at those that change, until the leadership is lost or the process is told to
    /// stop.
    async fn lead(self: Arc<Self>, leadership: Leadership, stop: &CancellationToken) {
        self.progress().clear();
        // Open before the groups are counted, so that one that comes in between is not missed.
        self.queue.open();
        self.queue.add_backlog(self.cluster.keys());
        let _keeping = self.keeper.clone().map(|keeper| {
            let leadership = leadership.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { keeper.keep(&leadership).await }))
        });
        let mut workers = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = leadership.lost().cancelled() => break,
                Some(_) = workers.join_next() => {}
                key = self.queue.next(), if workers.len() < WORKERS => {
                    let (driver, leadership) = (self.clone(), leadership.clone());
                    workers.spawn(async move { driver.look(key, &leadership).await });
                }
            }
        }
        let finish = async { while workers.join_next().await.is_some() {} };
        tokio::select! {
            () = leadership.lost().cancelled() => {}
            finished = timeout(FINISH, finish) => if finished.is_err() {
                tracing::warn!("some writes did not end in time");
            }
        }
        workers.shutdown().await;
        self.queue.shut();
    }

    /// One look at one group, within its deadline, and what follows from it.
    async fn look(&self, key: ObjectKey, leadership: &Leadership) {
        let began = Instant::now();
        let progress = Shared::new(self.progress().remove(&key).unwrap_or_default());
        let reconcile = Reconcile { cluster: &self.cluster, leadership, key: &key, progress: &progress };
        let bounded = AssertUnwindSafe(timeout(DEADLINE, Box::pin(reconcile.run()))).catch_unwind();
        let look = match bounded.await {
            Ok(Ok(look)) => look,
            Ok(Err(_)) => Look {
                outcome: Outcome::Failed,
                again: Some(Instant::now() + DEADLINE),
                faults: vec![format!("not done within {} s", DEADLINE.as_secs())],
                ..Look::default()
            },
            Err(_) => Look {
                outcome: Outcome::Panicked,
                again: Some(Instant::now() + AFTER_PANIC),
                ..Look::default()
            },
        };
        self.metrics.note(look.outcome, began.elapsed());
        let mut progress = progress.into_inner();
        log(&key, &look, progress.is_news(&look.faults.join("; ")), began.elapsed());
        if look.outcome != Outcome::Gone && !progress.is_empty(Instant::now()) {
            self.progress().insert(key.clone(), progress);
        }
        self.queue.add(look.touched);
        self.queue.done(key, look.again);
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn progress(&self) -> MutexGuard<'_, HashMap<ObjectKey, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where the election has ended.
async fn next_leadership(leading: &mut watch::Receiver<Option<Leadership>>) -> Option<Leadership> {
    let held = |leadership: &Option<Leadership>| {
        leadership.as_ref().is_some_and(|leadership| !leadership.lost().is_cancelled())
    };
    leading.wait_for(held).await.ok()?.clone()
}

/// One event for each look that did something.
fn log(key: &ObjectKey, look: &Look, news: bool, took: Duration) {
    let writes: Vec<String> = look
        .deeds
        .iter()
        .map(|deed| format!("{} {}", deed.verb, deed.kind.kind()))
        .chain(look.reported.then(|| "status".to_owned()))
        .collect();
    let (writes, faults) = (writes.join(", "), look.faults.join("; "));
    let outcome = look.outcome.as_str();
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match look.outcome {
        Outcome::Panicked => tracing::error!(group = %key, outcome, "reconcile panicked"),
        Outcome::Failed if news => {
            tracing::warn!(group = %key, outcome, writes, faults, milliseconds, "reconciled");
        }
        _ if !writes.is_empty() => tracing::info!(group = %key, outcome, writes, milliseconds, "reconciled"),
        _ => tracing::debug!(group = %key, outcome, milliseconds, "reconciled"),
    }
}
