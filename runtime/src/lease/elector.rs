//! The election's I/O: reads and replaces the Lease, and tells who leads.

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
    step::{Observed, Step, next, observe},
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
    pub fn register(&self, registry: &mut Registry) {
        registry.register("leader", "1 while this process holds the Lease", self.leader.clone());
        registry.register(
            "leader_acquisitions",
            "Times that this process got the Lease",
            self.acquisitions.clone(),
        );
    }
}

/// Stands for election until it is told to stop.
pub struct Elector {
    leases: Api<DynamicObject>,
    candidate: Candidate,
    timings: Timings,
    clock: Arc<dyn Clock>,
    metrics: LeaseMetrics,
    leading: watch::Sender<Option<Leadership>>,
    seen: Option<Observed>,
    /// The Lease as it was last read or written; `None` where there is none.
    stored: Option<DynamicObject>,
    /// What went wrong last, so that it is logged once and not with every retry.
    trouble: Option<String>,
}

impl fmt::Debug for Elector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Elector").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}

impl Elector {
    /// The second value shows the current leadership, or none. `client` must not retry on its own (see
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
        let (leading, shown) = watch::channel(None);
        let (seen, stored, trouble) = (None, None, None);
        Ok((Self { leases, candidate, timings, clock, metrics, leading, seen, stored, trouble }, shown))
    }

    /// Runs until `stop` is cancelled; gives the Lease back then. Cancel it after the last write of this
    /// process: the other replica begins at once.
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

    /// Returns once we hold the Lease.
    async fn acquire(&mut self) -> Leadership {
        loop {
            let wait = match self.try_acquire().await {
                Ok(Some(sent)) => {
                    return Leadership::new(self.clock.clone(), self.timings.renew_deadline, sent);
                }
                Ok(None) => self.timings.retry,
                Err(error) => {
                    self.note(&error);
                    self.timings.retry
                }
            };
            sleep(jittered(wait, fastrand::f64())).await;
        }
    }

    /// One look at the Lease and, where it can be had, one try to get it. The moment is that before the write
    /// was sent.
    async fn try_acquire(&mut self) -> Result<Option<Moment>, RequestError> {
        self.look().await?;
        let now = self.clock.now();
        match next(self.seen.as_ref(), now, &self.candidate.identity, &self.timings) {
            Step::Wait(_) => Ok(None),
            Step::Create | Step::Replace => {
                let held = self.last().held_by(&self.candidate.identity, now.wall, &self.timings);
                self.write(&held).await?;
                Ok(Some(now))
            }
        }
    }

    /// Returns when the leadership is lost, whatever a request is waiting for at that moment.
    async fn hold(&mut self, leadership: &Leadership) {
        tokio::select! {
            () = self.keep_renewing(leadership) => tracing::warn!("another process holds the lease"),
            () = expiry(leadership) => tracing::warn!("the lease could not be renewed in time"),
        }
    }

    /// Returns when somebody else holds the Lease.
    async fn keep_renewing(&mut self, leadership: &Leadership) {
        let mut wait = self.timings.retry * 2;
        loop {
            sleep(wait).await;
            wait = match self.renew(leadership).await {
                Ok(true) => self.timings.retry * 2,
                Ok(false) => return,
                Err(error) => {
                    self.note(&error);
                    self.timings.retry
                }
            };
        }
    }

    /// False where somebody else holds it. A refusal may come of our own write whose answer was lost, of a person
    /// who labelled the Lease or deleted it: look, and try once more, before giving up.
    async fn renew(&mut self, leadership: &Leadership) -> Result<bool, RequestError> {
        if let Err(error) = self.renew_once(leadership).await {
            if error.code().is_none_or(|code| code >= 429) {
                return Err(error);
            }
            self.look().await?;
            let another =
                self.stored.as_ref().map(read).filter(|last| last.holder != self.candidate.identity);
            if another.is_some() {
                return Ok(false);
            }
            self.renew_once(leadership).await?;
        }
        self.trouble = None;
        Ok(true)
    }

    async fn renew_once(&mut self, leadership: &Leadership) -> Result<(), RequestError> {
        let now = self.clock.now();
        let held = self.last().held_by(&self.candidate.identity, now.wall, &self.timings);
        self.write(&held).await?;
        leadership.renew(now);
        Ok(())
    }

    /// Best effort: without it the others wait for the lease to expire. Looks first, since the answer to our
    /// last write may not have been waited for.
    async fn release(&mut self) {
        let outcome = async {
            self.look().await?;
            let last = self.last();
            if last.holder == self.candidate.identity {
                self.write(&last.released(self.clock.now().wall)).await?;
                tracing::info!("lease released");
            }
            Ok::<_, RequestError>(())
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "lease not released: the others wait until it expires");
        }
    }

    fn last(&self) -> Record {
        self.stored.as_ref().map(read).unwrap_or_default()
    }

    async fn look(&mut self) -> Result<(), RequestError> {
        let name = &self.candidate.name;
        self.stored = with_timeout(self.patience(), self.what("read"), self.leases.get_opt(name)).await?;
        self.record_observed();
        Ok(())
    }

    /// Replaces what was read last, and nothing newer; creates the Lease where there was none.
    async fn write(&mut self, record: &Record) -> Result<(), RequestError> {
        let (name, parameters) = (self.candidate.name.clone(), PostParams::default());
        let spec = json!({"spec": record.spec()});
        let stored = if let Some(mut lease) = self.stored.clone() {
            lease.data = spec;
            let call = self.leases.replace(&name, &parameters, &lease);
            with_timeout(self.patience(), self.what("replace"), call).await?
        } else {
            let lease = DynamicObject::new(&name, &ApiResource::erase::<Lease>(&())).data(spec);
            with_timeout(self.patience(), self.what("create"), self.leases.create(&parameters, &lease))
                .await?
        };
        self.stored = Some(stored);
        self.record_observed();
        Ok(())
    }

    fn record_observed(&mut self) {
        let found = self.stored.as_ref().map(read);
        self.seen = observe(self.seen.take(), found, self.clock.now());
    }

    /// Two calls fit into the renew deadline.
    fn patience(&self) -> Duration {
        self.timings.renew_deadline / 2
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} Lease {}/{}", self.candidate.namespace, self.candidate.name)
    }

    fn note(&mut self, error: &RequestError) {
        let said = error.to_string();
        if self.trouble.as_ref() != Some(&said) {
            tracing::warn!(%error, "leader election is hindered");
            self.trouble = Some(said);
        }
    }
}

/// Returns when the leadership has run out. Looks every second: a timer counts by the monotonic clock alone.
async fn expiry(leadership: &Leadership) {
    while leadership.still_held() {
        sleep(leadership.left().min(Duration::from_secs(1))).await;
    }
}

fn read(lease: &DynamicObject) -> Record {
    Record::read(&lease.data)
}
