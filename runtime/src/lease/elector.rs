//! Reads and replaces the Lease, and publishes whether this process leads.

use std::{fmt, sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Candidate, Clock, Leadership, Moment, Timings, UnsafeTimings,
    record::Record,
    step::{ElectionStep, ObservedRecord, next_step, observe},
};
use crate::{
    backoff::jittered,
    client::{RequestError, with_timeout},
};

/// The metrics `leader` and `leader_acquisitions_total`.
#[derive(Debug, Clone, Default)]
pub struct LeaseMetrics {
    leader: Gauge,
    acquisitions: Counter,
}

impl LeaseMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("leader", "1 if this process holds the Lease, 0 otherwise", self.leader.clone());
        registry.register(
            "leader_acquisitions",
            "Number of times that this process acquired the Lease",
            self.acquisitions.clone(),
        );
    }

    /// Reports the process as the leader, which it is without an election.
    pub fn lead_without_lease(&self) {
        self.leader.set(1);
    }
}

/// Takes part in the election until it is stopped.
pub struct Elector {
    leases: Api<DynamicObject>,
    candidate: Candidate,
    timings: Timings,
    clock: Arc<dyn Clock>,
    metrics: LeaseMetrics,
    leading: watch::Sender<Option<Leadership>>,
    observed: Option<ObservedRecord>,
    /// The Lease as last read or written; `None` if it does not exist.
    stored: Option<DynamicObject>,
    /// The last error, to log it once and not on each retry.
    last_error: Option<String>,
}

impl fmt::Debug for Elector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Elector").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}

impl Elector {
    /// The receiver has the current leadership, or `None`. `client` must not retry (see
    /// [`crate::client::ClientConfig`]).
    pub fn new(
        client: Client,
        candidate: Candidate,
        timings: Timings,
        clock: Arc<dyn Clock>,
        metrics: LeaseMetrics,
    ) -> Result<(Self, watch::Receiver<Option<Leadership>>), UnsafeTimings> {
        let resource = ApiResource::erase::<Lease>(&());
        let leases = Api::namespaced_with(client, &candidate.namespace, &resource);
        let timings = timings.checked()?;
        let (leading, receiver) = watch::channel(None);
        let (observed, stored, last_error) = (None, None, None);
        Ok((
            Self { leases, candidate, timings, clock, metrics, leading, observed, stored, last_error },
            receiver,
        ))
    }

    /// Runs until `stop` is cancelled, then releases the Lease. Cancel it after the last write of
    /// this process, since another replica takes over at once.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(leadership) = stop.run_until_cancelled(self.acquire()).await {
            tracing::info!(identity = self.candidate.identity, "leading");
            self.metrics.leader.set(1);
            self.metrics.acquisitions.inc();
            self.leading.send_replace(Some(leadership.clone()));
            stop.run_until_cancelled(self.hold(&leadership)).await;
            leadership.lost().cancel();
            self.leading.send_replace(None);
            self.metrics.leader.set(0);
            tracing::info!(identity = self.candidate.identity, "no longer leading");
        }
        self.release().await;
    }

    /// Returns once this process holds the Lease.
    async fn acquire(&mut self) -> Leadership {
        loop {
            let wait = match self.try_acquire().await {
                Ok(Some(sent)) => {
                    return Leadership::new(self.clock.clone(), self.timings.renew_deadline, sent);
                }
                Ok(None) => self.timings.retry,
                Err(error) => {
                    self.log(&error);
                    self.timings.retry
                }
            };
            sleep(jittered(wait, fastrand::f64())).await;
        }
    }

    /// Reads the Lease and tries to acquire it if it is available. Returns the moment before the
    /// write was sent.
    async fn try_acquire(&mut self) -> Result<Option<Moment>, RequestError> {
        self.refresh().await?;
        let now = self.clock.now();
        match next_step(self.observed.as_ref(), now, &self.candidate.identity, &self.timings) {
            ElectionStep::Wait(_) => Ok(None),
            ElectionStep::Create | ElectionStep::Replace => {
                let held = self.stored_record().held_by(&self.candidate.identity, now.wall, &self.timings);
                self.write(&held).await?;
                Ok(Some(now))
            }
        }
    }

    /// Renews the Lease until the leadership is lost. Does not wait for a request in flight then.
    async fn hold(&mut self, leadership: &Leadership) {
        tokio::select! {
            () = self.renew_until_lost(leadership) => tracing::warn!("another process holds the lease"),
            () = expiry(leadership) => tracing::warn!("the lease could not be renewed in time"),
        }
    }

    /// Returns once another process holds the Lease.
    async fn renew_until_lost(&mut self, leadership: &Leadership) {
        let mut wait = self.timings.retry * 2;
        loop {
            sleep(wait).await;
            wait = match self.renew(leadership).await {
                Ok(true) => self.timings.retry * 2,
                Ok(false) => return,
                Err(error) => {
                    self.log(&error);
                    self.timings.retry
                }
            };
        }
    }

    /// Returns false if another process holds the Lease. A conflict may also be caused by our own
    /// write whose response was lost, or by a user who labelled or deleted the Lease, so read it
    /// and try once more before giving up.
    async fn renew(&mut self, leadership: &Leadership) -> Result<bool, RequestError> {
        if let Err(error) = self.renew_once(leadership).await {
            if error.code().is_none_or(|code| code >= 429) {
                return Err(error);
            }
            self.refresh().await?;
            let another =
                self.stored.as_ref().map(read).filter(|last| last.holder != self.candidate.identity);
            if another.is_some() {
                return Ok(false);
            }
            self.renew_once(leadership).await?;
        }
        self.last_error = None;
        Ok(true)
    }

    async fn renew_once(&mut self, leadership: &Leadership) -> Result<(), RequestError> {
        let now = self.clock.now();
        let held = self.stored_record().held_by(&self.candidate.identity, now.wall, &self.timings);
        self.write(&held).await?;
        leadership.renew(now);
        Ok(())
    }

    /// Best effort: if it fails, others wait until the Lease expires. Reads first, since the
    /// response to the last write may have been dropped.
    async fn release(&mut self) {
        let outcome = async {
            self.refresh().await?;
            let last = self.stored_record();
            if last.holder == self.candidate.identity {
                self.write(&last.released(self.clock.now().wall)).await?;
                tracing::info!("lease released");
            }
            Ok::<_, RequestError>(())
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "lease not released; other replicas wait until it expires");
        }
    }

    fn stored_record(&self) -> Record {
        self.stored.as_ref().map(read).unwrap_or_default()
    }

    async fn refresh(&mut self) -> Result<(), RequestError> {
        let name = &self.candidate.name;
        self.stored =
            with_timeout(self.request_timeout(), self.what("read"), self.leases.get_opt(name)).await?;
        self.record_observed();
        Ok(())
    }

    /// Replaces the Lease if it has not changed since it was read; creates it if it did not exist.
    async fn write(&mut self, record: &Record) -> Result<(), RequestError> {
        let (name, parameters) = (self.candidate.name.clone(), PostParams::default());
        let spec = json!({"spec": record.spec()});
        let stored = if let Some(mut lease) = self.stored.clone() {
            lease.data = spec;
            let call = self.leases.replace(&name, &parameters, &lease);
            with_timeout(self.request_timeout(), self.what("replace"), call).await?
        } else {
            let lease = DynamicObject::new(&name, &ApiResource::erase::<Lease>(&())).data(spec);
            with_timeout(self.request_timeout(), self.what("create"), self.leases.create(&parameters, &lease))
                .await?
        };
        self.stored = Some(stored);
        self.record_observed();
        Ok(())
    }

    fn record_observed(&mut self) {
        let found = self.stored.as_ref().map(read);
        self.observed = observe(self.observed.take(), found, self.clock.now());
    }

    /// Two requests fit into the renew deadline.
    fn request_timeout(&self) -> Duration {
        self.timings.renew_deadline / 2
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} Lease {}/{}", self.candidate.namespace, self.candidate.name)
    }

    fn log(&mut self, error: &RequestError) {
        let message = error.to_string();
        if self.last_error.as_ref() != Some(&message) {
            tracing::warn!(%error, "leader election failed");
            self.last_error = Some(message);
        }
    }
}

/// Returns once the leadership has expired. Checks every second, since a timer counts by the
/// monotonic clock only.
async fn expiry(leadership: &Leadership) {
    while leadership.still_held() {
        sleep(leadership.left().min(Duration::from_secs(1))).await;
    }
}

fn read(lease: &DynamicObject) -> Record {
    Record::read(&lease.data)
}
