//! The watcher: finds the kind if it is optional, and keeps one watch open for each namespace.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures::future::select_all;
use kube::{Client, core::ApiResource};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Event, Transform, WatchHealth, WatchSpec, WatchState,
    handler::Handler,
    known_keys::KnownKeys,
    list_watch::ListWatch,
    namespace_watch::{HEALTHY_AFTER, NamespaceWatch, RETRY, Shared, state_after},
    spec::WatchedKind,
};
use crate::{backoff::jittered, discovery::OptionalKind, string_interner::StringInterner};

/// How often to check whether an optional kind is served.
const CHECK_NOT_SERVED: Duration = Duration::from_secs(10);
/// How often to check whether a kind that is served has a better version.
const CHECK_SERVED: Duration = Duration::from_mins(1);

/// Watches the objects of one [`WatchSpec`] and passes each [`Event`] with a fact `F` to a handler.
pub struct Watcher<F> {
    client: Client,
    spec: WatchSpec,
    transform: Transform<F>,
    health: WatchHealth,
    keys: Option<Arc<StringInterner>>,
}

impl<F> fmt::Debug for Watcher<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watcher").field("health", &self.health).finish_non_exhaustive()
    }
}

impl<F: Send> Watcher<F> {
    /// `name` is the watch in metrics, logs and readiness checks, usually the plural of the kind:
    /// `pods`.
    pub fn new(name: &str, client: Client, spec: WatchSpec, transform: Transform<F>) -> Self {
        let health = WatchHealth::new(name, spec.scope.namespaces());
        Self { client, spec, transform, health, keys: None }
    }

    /// Takes the keys of the objects from `keys`, for watches whose objects have the same names.
    #[must_use]
    pub fn share_keys(mut self, keys: &Arc<StringInterner>) -> Self {
        self.keys = Some(keys.clone());
        self
    }

    /// The health of the watch, to keep after [`Watcher::run`] has taken the watcher.
    pub fn health(&self) -> WatchHealth {
        self.health.clone()
    }

    /// Watches until `stop` is cancelled. `handle` is called with one event at a time and holds up
    /// the watch, so it must not block.
    pub async fn run(self, stop: CancellationToken, handle: impl FnMut(Event<F>) + Send + 'static) {
        let handler = Handler::new(handle);
        let namespaces = self.spec.scope.namespaces();
        let mut known_keys: Vec<_> = namespaces.iter().map(|_| KnownKeys::default()).collect();
        let watching = async {
            match &self.spec.kind {
                WatchedKind::Required(resource) => {
                    self.watch_all(resource, &mut known_keys, &handler, false).await;
                }
                WatchedKind::Optional(kind) => self.watch_optional(kind, &mut known_keys, &handler).await,
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// One watch for each namespace. Returns only if the kind is optional and no longer served.
    async fn watch_all(
        &self,
        resource: &ApiResource,
        known_keys: &mut [KnownKeys],
        handler: &Handler<F>,
        optional: bool,
    ) {
        let keys = self.keys.as_deref();
        let shared = Shared { health: &self.health, transform: &self.transform, handler, keys, optional };
        let namespaces = self.spec.scope.namespaces();
        let watches =
            namespaces.iter().zip(known_keys).enumerate().map(|(index, (namespace, known_keys))| {
                let list_watch = ListWatch::new(&self.client, resource, namespace.as_deref(), &self.spec);
                let watch = NamespaceWatch::new(list_watch, index, known_keys, &shared);
                Box::pin(watch.run()) as Pin<Box<dyn Future<Output = ()> + Send + '_>>
            });
        let watches: Vec<_> = watches.collect();
        if watches.is_empty() {
            return std::future::pending().await;
        }
        select_all(watches).await;
    }

    /// Waits until the kind is served, watches it in that version, and starts over if another
    /// version is served.
    async fn watch_optional(&self, kind: &OptionalKind, known_keys: &mut [KnownKeys], handler: &Handler<F>) {
        let mut retry = RETRY;
        let mut served = None;
        loop {
            let delay = match kind.find(&self.client).await {
                Ok(Some(resource)) => {
                    let found = Instant::now();
                    self.found(&resource, &mut served, handler);
                    tokio::select! {
                        () = self.watch_all(&resource, known_keys, handler, true) => {}
                        () = self.served_version_changes(kind, &resource) => {}
                    }
                    if found.elapsed() >= HEALTHY_AFTER {
                        retry.reset();
                    }
                    retry.next_delay(fastrand::f64())
                }
                Ok(None) => {
                    self.not_served(&mut served, handler);
                    jittered(CHECK_NOT_SERVED, fastrand::f64())
                }
                Err(error) => {
                    handler.state_changed(self.health.set_all(state_after(&error)));
                    retry.next_delay(fastrand::f64())
                }
            };
            sleep(delay).await;
        }
    }

    fn found(&self, resource: &ApiResource, served: &mut Option<ApiResource>, handler: &Handler<F>) {
        self.health.mark_all_alive();
        if served.as_ref() != Some(resource) {
            tracing::info!(watch = self.health.name(), version = resource.api_version, "kind is served");
            handler.handle(Event::Served(resource.clone()));
            *served = Some(resource.clone());
        }
        handler.state_changed(self.health.set_served());
    }

    /// An optional kind that is not served is synced: there is nothing to list.
    fn not_served(&self, served: &mut Option<ApiResource>, handler: &Handler<F>) {
        self.health.mark_all_alive();
        *served = None;
        let changed = self.health.set_all(WatchState::NotServed);
        let first = !self.health.synced();
        if changed.is_some() || first {
            tracing::info!(watch = self.health.name(), "the cluster has no such kind");
            self.health.set_not_served();
            handler.state_changed(changed);
            handler.handle(Event::Synced);
        }
    }

    /// Returns once discovery no longer finds the kind in this version.
    async fn served_version_changes(&self, kind: &OptionalKind, served: &ApiResource) {
        loop {
            sleep(jittered(CHECK_SERVED, fastrand::f64())).await;
            match kind.find(&self.client).await {
                Ok(found) if found.as_ref() != Some(served) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(watch = self.health.name(), %error, "discovery failed"),
            }
        }
    }
}
