//! The controller: watches fill the workqueue, and workers empty it while this process leads.

mod attempt;
mod backoff;
mod concurrency;
mod config;
mod election;
mod lag_writes;
mod metrics;
mod reconcile;
mod retry_state;
mod workqueue;
mod write_limit;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kcg_api::names;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::{Leadership, LeaseMetrics, SystemClock};
use kcg_runtime::metrics::{MetricsServer, registry};
use kcg_runtime::probes::{ProbeServer, Readiness, ReadinessCheck};
use kcg_runtime::watch::{ObjectKey, WatchMetrics};
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cert_rotator::CertRotator;
pub use crate::cluster::Scopes;
use crate::cluster::{Affected, Cluster, Watches, crd_version, group_defaults, served_metrics};
use crate::events::EventRecorder;
pub use concurrency::CONCURRENT_RECONCILES;
use concurrency::{MAX_CONCURRENT, Slot, Slots};
pub use config::{ControllerConfig, ControllerError};
use election::Election;
use lag_writes::LagWrites;
use metrics::ControllerMetrics;
use reconcile::{Outcome, Reconcile, ReconcileResult};
use retry_state::{RetryState, SharedRetryState};
use workqueue::WorkQueue;

/// How long reconciles in progress may continue after SIGTERM.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often the strings of objects that are gone, and the retry states of groups that are in sync, are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// Runs the controller until `stop` is cancelled (SIGTERM) and the reconciles in progress have
/// ended.
pub async fn run(
    config: ControllerConfig,
    client: Client,
    requests: &RequestMetrics,
    stop: CancellationToken,
) -> Result<(), ControllerError> {
    let metrics_server = config.metrics_bind_address.map(MetricsServer::bind).transpose()?;
    let probes = config.health_probe_bind_address.map(ProbeServer::bind).transpose()?;
    // Read before the watches begin, so that the first comparisons are with the file.
    drop(config.defaults.reload().await);
    let (mut registry, readiness) =
        (registry(names::METRIC_PREFIX, env!("CARGO_PKG_VERSION")), Readiness::default());
    requests.register(&mut registry);
    let events = EventRecorder::new(client.clone(), &config.candidate.identity);
    let cluster =
        Arc::new(Cluster::new(client.clone(), config.grants, config.max_spec_bytes, config.defaults, events));
    let queue = Arc::new(WorkQueue::default());
    let metrics = ControllerMetrics::register(&mut registry, cluster.clone(), queue.clone());
    let lease_metrics = LeaseMetrics::default();
    lease_metrics.register(&mut registry);
    let watches = Watches::new(&client, &config.scopes, cluster.clone());
    WatchMetrics::new(watches.healths()).register(&mut registry);
    let crd_version = crd_version::watch(client.clone(), crd_version::gauge(&mut registry));
    let filled = queue.clone();
    let listener = move |affected: Affected| filled.add(affected);
    let check = readiness.check("defaults", "not read yet");
    let defaults = group_defaults::watch(cluster.clone(), &mut registry, check, listener.clone());
    let served_metrics = served_metrics::watch(cluster.clone(), client.clone(), listener.clone());
    let clock = Arc::new(SystemClock::default());
    let cert_rotator = config
        .certificates
        .map(|certificates| CertRotator::new(client.clone(), &certificates, clock.clone(), &mut registry))
        .map(Arc::new);
    let (election, leading) = Election::new(client, config.candidate, config.election, clock, lease_metrics)?;

    // These tasks end after the last reconcile, not at SIGTERM.
    let (ended, synced) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(ended.clone().run_until_cancelled_owned(watches.update_readiness(&readiness)));
    tokio::spawn(ended.clone().run_until_cancelled_owned(crd_version));
    tokio::spawn(ended.clone().run_until_cancelled_owned(defaults));
    tokio::spawn(ended.clone().run_until_cancelled_owned(served_metrics));
    tokio::spawn(unready_when_stopped(readiness.check("shutdown", ""), stop.clone()));
    tokio::spawn(ended.clone().run_until_cancelled_owned(forget_unused_strings(cluster.clone())));
    metrics_server.map(|server| tokio::spawn(server.serve(registry, ended.clone())));
    probes.map(|server| tokio::spawn(server.serve(readiness, ended.clone())));
    let watching = tokio::spawn(watches.run(listener, synced.clone(), ended.clone()));

    let (retry_states, lag_writes) = (Mutex::default(), Mutex::default());
    let workers = Workers { cluster, queue, metrics, cert_rotator, retry_states, lag_writes };
    let working = Arc::new(workers).work(election, leading, synced, stop);
    let result = tokio::select! {
        worked = working => worked,
        _ = watching => Err(ControllerError::Ended("a watch")),
    };
    ended.cancel();
    result
}

/// Forgets the strings of objects that are gone, again and again.
async fn forget_unused_strings(cluster: Arc<Cluster>) {
    let mut forget = tokio::time::interval(FORGET_INTERVAL);
    loop {
        forget.tick().await;
        cluster.forget_unused_strings();
    }
}

/// Fails the readiness check from SIGTERM on.
async fn unready_when_stopped(check: ReadinessCheck, stop: CancellationToken) {
    check.pass();
    stop.cancelled().await;
    check.fail("the process is stopping");
}

/// Reconciles the groups of the workqueue while this process leads.
struct Workers {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue>,
    metrics: ControllerMetrics,
    cert_rotator: Option<Arc<CertRotator>>,
    retry_states: Mutex<HashMap<ObjectKey, RetryState>>,
    lag_writes: Mutex<LagWrites>,
}

impl Workers {
    /// Takes part in the election once this process could reconcile: all watches are synced, and the
    /// file of defaults was read. Until then it only rotates the certificates, without the Lease, since
    /// admission must depend on neither. Releases the Lease after the last write.
    async fn work(
        self: Arc<Self>,
        election: Election,
        mut leading: watch::Receiver<Option<Leadership>>,
        synced: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), ControllerError> {
        let rotating = self.rotate(Leadership::without_lease(Arc::new(SystemClock::default())));
        if stop.run_until_cancelled(self.may_reconcile(&synced)).await.is_none() {
            return Ok(());
        }
        drop(rotating);
        let resign = CancellationToken::new();
        let election = tokio::spawn(election.run(resign.clone()));
        loop {
            let leadership = tokio::select! {
                () = stop.cancelled() => break,
                leadership = next_leadership(&mut leading) => leadership,
            };
            let leadership = leadership.ok_or(ControllerError::Ended("the election"))?;
            self.clone().lead(leadership, &stop).await;
        }
        resign.cancel();
        // The requests for the Lease have deadlines.
        election.await.map_err(|_| ControllerError::Ended("the election"))
    }

    /// Waits until this process knows all that it needs to reconcile.
    async fn may_reconcile(&self, synced: &CancellationToken) {
        synced.cancelled().await;
        tracing::info!(groups = self.cluster.keys().len(), "watches are synced");
        group_defaults::loaded(&self.cluster).await;
    }

    /// Rotates the certificates until the handle is dropped.
    fn rotate(&self, leadership: Leadership) -> Option<AbortOnDropHandle<()>> {
        let cert_rotator = self.cert_rotator.clone()?;
        Some(AbortOnDropHandle::new(tokio::spawn(async move { cert_rotator.run(&leadership).await })))
    }

    /// Reconciles every group, and then those that change, until the leadership is lost or `stop`
    /// is cancelled.
    async fn lead(self: Arc<Self>, leadership: Leadership, stop: &CancellationToken) {
        self.retry_states.lock().clear();
        *self.lag_writes.lock() = LagWrites::default();
        // Open the queue before listing the groups, so that a group that is created in between is
        // not missed.
        self.queue.open();
        self.queue.add_backlog(self.cluster.keys());
        let _rotating = self.rotate(leadership.clone());
        let (mut reconciles, slots) = (JoinSet::new(), Slots::default());
        let mut forget = tokio::time::interval(FORGET_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = leadership.lost().cancelled() => break,
                Some(_) = reconciles.join_next() => {}
                _ = forget.tick() => {
                    retry_state::forget_empty(&mut self.retry_states.lock(), Instant::now().into_std());
                }
                (slot, key) = self.next(&slots), if reconciles.len() < MAX_CONCURRENT => {
                    let (workers, leadership) = (self.clone(), leadership.clone());
                    reconciles.spawn(slot.run(async move { workers.reconcile(key, &leadership).await }));
                }
            }
        }
        let finish = async { while reconciles.join_next().await.is_some() {} };
        tokio::select! {
            () = leadership.lost().cancelled() => {}
            finished = timeout(SHUTDOWN_GRACE, finish) => if finished.is_err() {
                tracing::warn!("some reconciles did not finish in time");
            }
        }
        reconciles.shutdown().await;
        self.queue.close();
    }

    /// Waits for a free slot, and then for a group to reconcile in it.
    async fn next(&self, slots: &Slots) -> (Slot, ObjectKey) {
        (slots.acquire().await, self.queue.next().await)
    }

    /// Reconciles one group within the deadline, and requeues it if necessary.
    async fn reconcile(&self, key: ObjectKey, leadership: &Leadership) {
        let began = Instant::now();
        let retry_state = self.retry_states.lock().remove(&key).unwrap_or_default();
        let retry_state = SharedRetryState::new(retry_state);
        let reconcile = Reconcile {
            cluster: &self.cluster,
            leadership,
            key: &key,
            retry_state: &retry_state,
            lag_writes: &self.lag_writes,
        };
        let result = attempt::bounded(Box::pin(reconcile.run())).await;
        self.metrics.record(result.outcome, began.elapsed());
        let mut retry_state = retry_state.into_inner();
        let are_new = retry_state.are_new_errors(&result.errors.join("; "));
        log(&key, &result, are_new, began.elapsed());
        if result.outcome != Outcome::Gone && !retry_state.is_empty(Instant::now().into_std()) {
            self.retry_states.lock().insert(key.clone(), retry_state);
        }
        self.queue.add(result.affected);
        self.queue.done(key, result.requeue_at, result.is_limited);
    }
}

/// Waits for this process to lead; `None` if the election has ended.
async fn next_leadership(leading: &mut watch::Receiver<Option<Leadership>>) -> Option<Leadership> {
    let held = |leadership: &Option<Leadership>| {
        leadership.as_ref().is_some_and(|leadership| !leadership.lost().is_cancelled())
    };
    leading.wait_for(held).await.ok()?.clone()
}

/// Logs each reconcile that changed something or failed in a new way.
fn log(key: &ObjectKey, result: &ReconcileResult, are_new_errors: bool, took: Duration) {
    let writes: Vec<String> = result
        .applied
        .iter()
        .map(|write| format!("{} {}", write.verb, write.kind.kind()))
        .chain(result.status_written.then(|| "status".to_owned()))
        .collect();
    let (writes, errors) = (writes.join(", "), kcg_core::text::bounded(result.errors.join("; ")));
    let outcome = result.outcome.as_str();
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match result.outcome {
        Outcome::Panicked => tracing::error!(group = %key, outcome, "reconcile panicked"),
        Outcome::Failed if are_new_errors => {
            tracing::warn!(group = %key, outcome, writes, errors, milliseconds, "reconciled");
        }
        _ if !writes.is_empty() => tracing::info!(group = %key, outcome, writes, milliseconds, "reconciled"),
        _ => tracing::debug!(group = %key, outcome, milliseconds, "reconciled"),
    }
}
