//! The follower: finds the kind, and keeps one watch open for each namespace until it is told to stop.

use std::{fmt, pin::Pin, time::Duration};

use futures::future::select_all;
use kube::{Client, core::ApiResource};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Event, Transform, WatchHealth, WatchSpec, WatchState,
    known_keys::KnownKeys,
    list_watch::ListWatch,
    namespace_watch::{Handler, NamespaceWatch, state_after},
    spec::Kind,
};
use crate::{
    backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT, SETTLED, jittered},
    discovery::OptionalKind,
};

/// How often a kind that is absent is looked for, and one that is there is checked for a better version.
const LOOK_WHILE_ABSENT: Duration = Duration::from_secs(10);
const LOOK_WHILE_SERVED: Duration = Duration::from_mins(1);

/// Follows the objects of one [`WatchSpec`] and tells its owner each [`Event`] as a fact `F`.
pub struct Watcher<F> {
    client: Client,
    source: WatchSpec,
    projection: Transform<F>,
    health: WatchHealth,
}

impl<F> fmt::Debug for Watcher<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watcher").field("health", &self.health).finish_non_exhaustive()
    }
}

impl<F: Send> Watcher<F> {
    /// `name` stands in the metrics and the readiness lines: `kafkatopics`.
    pub fn new(name: &str, client: Client, source: WatchSpec, projection: Transform<F>) -> Self {
        let health = WatchHealth::new(name, source.scope.namespaces());
        Self { client, source, projection, health }
    }

    pub fn health(&self) -> WatchHealth {
        self.health.clone()
    }

    /// Follows until `stop` is cancelled. `tell` is called for one change after the other, never at the same
    /// time; it holds the watch up, so it must not block.
    pub async fn run(self, stop: CancellationToken, handle: impl FnMut(Event<F>) + Send + 'static) {
        let handler = Handler::new(handle);
        let mut known_keys: Vec<_> =
            self.source.scope.namespaces().iter().map(|_| KnownKeys::default()).collect();
        let following = async {
            match &self.source.kind {
                Kind::Known(resource) => self.watch_all(resource, &mut known_keys, &handler, false).await,
                Kind::Optional(kind) => self.follow_optional(kind, &mut known_keys, &handler).await,
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// One watch for each namespace. Returns only if `leave_when_absent`, once the server knows no such kind.
    async fn watch_all(
        &self,
        resource: &ApiResource,
        known_keys: &mut [KnownKeys],
        handler: &Handler<F>,
        leave_when_absent: bool,
    ) {
        let namespaces = self.source.scope.namespaces();
        let watches = namespaces.iter().zip(known_keys).enumerate().map(|(slot, (namespace, known_keys))| {
            let list_watch = ListWatch::new(&self.client, resource, namespace.as_deref(), &self.source);
            let watch = NamespaceWatch::new(
                list_watch,
                slot,
                known_keys,
                &self.health,
                &self.projection,
                handler,
                leave_when_absent,
            );
            Box::pin(watch.follow()) as Pin<Box<dyn Future<Output = ()> + Send + '_>>
        });
        let watches: Vec<_> = watches.collect();
        if watches.is_empty() {
            return std::future::pending().await;
        }
        select_all(watches).await;
    }

    /// Looks for the kind, follows it in the version that is served, and looks again when that may have changed.
    async fn follow_optional(&self, kind: &OptionalKind, known_keys: &mut [KnownKeys], handler: &Handler<F>) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut served = None;
        loop {
            let wait = match kind.find(&self.client).await {
                Ok(Some(resource)) => {
                    let found = Instant::now();
                    self.found(&resource, &mut served, handler);
                    tokio::select! {
                        () = self.watch_all(&resource, known_keys, handler, true) => {}
                        () = self.until_it_changes(kind, &resource) => {}
                    }
                    if found.elapsed() >= SETTLED {
                        backoff.recover();
                    }
                    backoff.after_failure(fastrand::f64())
                }
                Ok(None) => {
                    self.absent(&mut served, handler);
                    jittered(LOOK_WHILE_ABSENT, fastrand::f64())
                }
                Err(error) => {
                    handler.handle_state(self.health.set_all(state_after(&error)));
                    backoff.after_failure(fastrand::f64())
                }
            };
            sleep(wait).await;
        }
    }

    fn found(&self, resource: &ApiResource, served: &mut Option<ApiResource>, handler: &Handler<F>) {
        self.health.mark_all_alive();
        if served.as_ref() != Some(resource) {
            tracing::info!(watch = self.health.name(), version = resource.api_version, "kind is served");
            handler.handle(Event::Served(resource.clone()));
            *served = Some(resource.clone());
        }
        handler.handle_state(self.health.set_served());
    }

    /// An optional kind that is not there is nothing to wait for.
    fn absent(&self, served: &mut Option<ApiResource>, handler: &Handler<F>) {
        self.health.mark_all_alive();
        *served = None;
        let changed = self.health.set_all(WatchState::NotServed);
        let first = !self.health.synced();
        if changed.is_some() || first {
            tracing::info!(watch = self.health.name(), "the cluster has no such kind");
            self.health.set_not_served();
            handler.handle_state(changed);
            handler.handle(Event::Synced);
        }
    }

    async fn until_it_changes(&self, kind: &OptionalKind, served: &ApiResource) {
        loop {
            sleep(jittered(LOOK_WHILE_SERVED, fastrand::f64())).await;
            match kind.find(&self.client).await {
                Ok(found) if found.as_ref() != Some(served) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(watch = self.health.name(), %error, "discovery failed"),
            }
        }
    }
}
