//! The follower: finds the kind, and keeps one watch open for each namespace until it is told to stop.

use std::{fmt, pin::Pin, time::Duration};

use futures::future::select_all;
use kube::{Client, core::ApiResource};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Change, Pace, Projection, Pulse, Source, State, jittered,
    ledger::Ledger,
    pace::{FIRST_WAIT, LONGEST_WAIT, SETTLED},
    raw::Collection,
    source::Kind,
    watch::{Owner, Watch, state_after},
};
use crate::discovery::Candidates;

/// How often a kind that is absent is looked for, and one that is there is checked for a better version.
const LOOK_WHILE_ABSENT: Duration = Duration::from_secs(10);
const LOOK_WHILE_SERVED: Duration = Duration::from_mins(1);

/// Follows the objects of one [`Source`] and tells its owner each [`Change`] as a fact `F`.
pub struct Follower<F> {
    client: Client,
    source: Source,
    projection: Projection<F>,
    pulse: Pulse,
}

impl<F> fmt::Debug for Follower<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Follower").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}

impl<F: Send> Follower<F> {
    /// `name` stands in the metrics and the readiness lines: `kafkatopics`.
    pub fn new(name: &str, client: Client, source: Source, projection: Projection<F>) -> Self {
        let pulse = Pulse::new(name, source.scope.namespaces());
        Self { client, source, projection, pulse }
    }

    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Follows until `stop` is cancelled. `tell` is called for one change after the other, never at the same
    /// time; it holds the watch up, so it must not block.
    pub async fn run(self, stop: CancellationToken, tell: impl FnMut(Change<F>) + Send + 'static) {
        let owner = Owner::new(tell);
        let mut ledgers: Vec<_> = self.source.scope.namespaces().iter().map(|_| Ledger::default()).collect();
        let following = async {
            match &self.source.kind {
                Kind::Known(resource) => self.watch_all(resource, &mut ledgers, &owner, false).await,
                Kind::Optional(candidates) => self.follow_optional(candidates, &mut ledgers, &owner).await,
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// One watch for each namespace. Returns only if `leave_when_absent`, once the server knows no such kind.
    async fn watch_all(
        &self,
        resource: &ApiResource,
        ledgers: &mut [Ledger],
        owner: &Owner<F>,
        leave_when_absent: bool,
    ) {
        let namespaces = self.source.scope.namespaces();
        let watches = namespaces.iter().zip(ledgers).enumerate().map(|(slot, (namespace, ledger))| {
            let collection = Collection::new(&self.client, resource, namespace.as_deref(), &self.source);
            let watch =
                Watch::new(collection, slot, ledger, &self.pulse, &self.projection, owner, leave_when_absent);
            Box::pin(watch.follow()) as Pin<Box<dyn Future<Output = ()> + Send + '_>>
        });
        let watches: Vec<_> = watches.collect();
        if watches.is_empty() {
            return std::future::pending().await;
        }
        select_all(watches).await;
    }

    /// Looks for the kind, follows it in the version that is served, and looks again when that may have changed.
    async fn follow_optional(&self, candidates: &Candidates, ledgers: &mut [Ledger], owner: &Owner<F>) {
        let mut pace = Pace::new(FIRST_WAIT, LONGEST_WAIT);
        let mut served = None;
        loop {
            let wait = match candidates.find(&self.client).await {
                Ok(Some(resource)) => {
                    let found = Instant::now();
                    self.found(&resource, &mut served, owner);
                    tokio::select! {
                        () = self.watch_all(&resource, ledgers, owner, true) => {}
                        () = self.until_it_changes(candidates, &resource) => {}
                    }
                    if found.elapsed() >= SETTLED {
                        pace.recover();
                    }
                    pace.after_failure(fastrand::f64())
                }
                Ok(None) => {
                    self.absent(&mut served, owner);
                    jittered(LOOK_WHILE_ABSENT, fastrand::f64())
                }
                Err(error) => {
                    owner.tell_state(self.pulse.set_all(state_after(&error)));
                    pace.after_failure(fastrand::f64())
                }
            };
            sleep(wait).await;
        }
    }

    fn found(&self, resource: &ApiResource, served: &mut Option<ApiResource>, owner: &Owner<F>) {
        self.pulse.beat_all();
        if served.as_ref() != Some(resource) {
            tracing::info!(watch = self.pulse.name(), version = resource.api_version, "kind is served");
            owner.tell(Change::Served(resource.clone()));
            *served = Some(resource.clone());
        }
        owner.tell_state(self.pulse.set_served());
    }

    /// An optional kind that is not there is nothing to wait for.
    fn absent(&self, served: &mut Option<ApiResource>, owner: &Owner<F>) {
        self.pulse.beat_all();
        *served = None;
        let changed = self.pulse.set_all(State::Absent);
        let first = !self.pulse.synced();
        if changed.is_some() || first {
            tracing::info!(watch = self.pulse.name(), "the cluster has no such kind");
            self.pulse.set_absence_told();
            owner.tell_state(changed);
            owner.tell(Change::Synced);
        }
    }

    async fn until_it_changes(&self, candidates: &Candidates, served: &ApiResource) {
        loop {
            sleep(jittered(LOOK_WHILE_SERVED, fastrand::f64())).await;
            match candidates.find(&self.client).await {
                Ok(found) if found.as_ref() != Some(served) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(watch = self.pulse.name(), %error, "discovery failed"),
            }
        }
    }
}
