//! The health of a watch: what hinders it, whether its facts are complete, and when it last showed
//! a sign of life. Shared with the readiness checks, the metrics and everyone who needs to know how
//! old a fact may be.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

/// The current activity of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchState {
    /// The first list is under way.
    Starting,
    /// The watch is open.
    Live,
    /// The API server cannot be reached or answers with errors. Retried with backoff.
    Failing(String),
    /// The cluster does not serve the kind. Checked regularly.
    NotServed,
    /// The API server denies the watch; its message. Retried with backoff.
    Forbidden(String),
}

impl fmt::Display for WatchState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => formatter.write_str("the first list is under way"),
            Self::Live => formatter.write_str("live"),
            Self::Failing(error) => write!(formatter, "failing: {error}"),
            Self::NotServed => formatter.write_str("the cluster has no such kind"),
            Self::Forbidden(message) => write!(formatter, "forbidden: {message}"),
        }
    }
}

/// Whether the handler has all facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    /// Not yet.
    Pending,
    /// Not yet, and the API server denied access, so waiting may not help.
    Forbidden,
    /// There are none, since the cluster did not serve the kind. If it serves the kind now, it was
    /// not listed yet.
    NotServed,
    /// The handler has everything that the last list contained and every change since.
    Synced,
}

/// The health of the watch of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceHealth {
    /// The current activity of the watch.
    pub state: WatchState,
    /// Whether the handler has all facts.
    pub sync: SyncState,
    /// The time since the last sign of life, as in [`WatchHealth::age`].
    pub age: Duration,
}

/// The health of a [`super::Watcher`]. Clones share it; no method blocks.
#[derive(Debug, Clone)]
pub struct WatchHealth {
    name: Arc<str>,
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// The health of the watch of one namespace, or of the cluster-wide watch.
#[derive(Debug)]
struct Entry {
    /// `None` is the whole cluster.
    namespace: Option<String>,
    state: WatchState,
    sync: SyncState,
    alive: Instant,
}

impl Entry {
    /// Sets the state. Returns whether it changed.
    fn set_state(&mut self, state: &WatchState) -> bool {
        self.sync = match (state, self.sync) {
            (WatchState::Forbidden(_), SyncState::Pending) => SyncState::Forbidden,
            (WatchState::NotServed, SyncState::Synced) => SyncState::NotServed,
            (_, sync) => sync,
        };
        let changed = self.state != *state;
        if changed {
            self.state = state.clone();
        }
        changed
    }

    fn synced(&self) -> bool {
        matches!(self.sync, SyncState::NotServed | SyncState::Synced)
    }

    fn health(&self) -> NamespaceHealth {
        NamespaceHealth { state: self.state.clone(), sync: self.sync, age: self.alive.elapsed() }
    }
}

impl WatchHealth {
    /// `None` among the namespaces is the whole cluster.
    pub(super) fn new(name: &str, namespaces: Vec<Option<String>>) -> Self {
        let entry = |namespace| Entry {
            namespace,
            state: WatchState::Starting,
            sync: SyncState::Pending,
            alive: Instant::now(),
        };
        let entries = namespaces.into_iter().map(entry).collect();
        Self { name: name.into(), entries: Arc::new(Mutex::new(entries)) }
    }

    /// The name of the watch in metrics and readiness checks.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The health of the watch that covers this namespace, or `None` if none does.
    pub fn in_namespace(&self, namespace: &str) -> Option<NamespaceHealth> {
        let entries = self.lock();
        let covers = |entry: &&Entry| entry.namespace.as_deref().is_none_or(|name| name == namespace);
        entries.iter().find(covers).map(Entry::health)
    }

    /// The health of each watch with its namespace; `None` is the whole cluster.
    pub fn by_namespace(&self) -> Vec<(Option<String>, NamespaceHealth)> {
        self.lock().iter().map(|entry| (entry.namespace.clone(), entry.health())).collect()
    }

    /// The time since the last sign of life: an event, a bookmark, a page of a list, a newly opened
    /// watch or an answer of discovery. With several namespaces, that of the one that is silent for
    /// longest. Counts from the start if there was no sign of life yet. An idle but healthy watch
    /// stays below [`super::WATCH_TIMEOUT`] plus a few seconds.
    pub fn age(&self) -> Duration {
        self.lock().iter().map(|entry| entry.alive.elapsed()).max().unwrap_or_default()
    }

    /// Whether the handler has received everything that exists at least once. An optional kind that
    /// the cluster does not serve counts as synced.
    pub fn synced(&self) -> bool {
        self.lock().iter().all(Entry::synced)
    }

    /// What the first list waits for, as the reason of a readiness check. `None` once each
    /// namespace is synced or forbidden: one that is forbidden or deleted must not hold up the
    /// others.
    pub fn waiting_for(&self) -> Option<String> {
        let entries = self.lock();
        let waiting = entries.iter().find(|entry| entry.sync == SyncState::Pending)?;
        Some(match &waiting.namespace {
            Some(namespace) => format!("namespace {namespace}: {}", waiting.state),
            None => waiting.state.to_string(),
        })
    }

    /// The API server's message if it denies access in all namespaces, or `None`.
    pub fn forbidden(&self) -> Option<String> {
        let entries = self.lock();
        let forbidden = |entry: &Entry| entry.sync == SyncState::Forbidden;
        entries.iter().all(forbidden).then(|| entries.first().map(|entry| entry.state.to_string()))?
    }

    pub(super) fn mark_alive(&self, index: usize) {
        self.lock()[index].alive = Instant::now();
    }

    pub(super) fn mark_all_alive(&self) {
        self.lock().iter_mut().for_each(|entry| entry.alive = Instant::now());
    }

    /// Sets the state of one namespace. Returns the new state if it changed.
    pub(super) fn set(&self, index: usize, state: WatchState) -> Option<WatchState> {
        self.lock()[index].set_state(&state).then_some(state)
    }

    /// Sets the state of each namespace. Returns the new state if one changed.
    pub(super) fn set_all(&self, state: WatchState) -> Option<WatchState> {
        let changed = self.lock().iter_mut().fold(false, |changed, entry| entry.set_state(&state) | changed);
        changed.then_some(state)
    }

    /// The kind is served: if it was not, its first list is under way. Returns the new state if one
    /// changed.
    pub(super) fn set_served(&self) -> Option<WatchState> {
        let mut entries = self.lock();
        let not_served = entries.iter_mut().filter(|entry| entry.state == WatchState::NotServed);
        let changed =
            not_served.fold(false, |changed, entry| entry.set_state(&WatchState::Starting) | changed);
        changed.then_some(WatchState::Starting)
    }

    /// The name of a namespace; `None` if it is the whole cluster.
    pub(super) fn namespace(&self, index: usize) -> Option<String> {
        self.lock()[index].namespace.clone()
    }

    /// A namespace was listed completely. Returns its new state if it changed.
    pub(super) fn set_listed(&self, index: usize) -> Option<WatchState> {
        let entry = &mut self.lock()[index];
        entry.sync = SyncState::Synced;
        entry.set_state(&WatchState::Live).then_some(WatchState::Live)
    }

    /// An optional kind is not served: there is nothing to list.
    pub(super) fn set_not_served(&self) {
        self.lock().iter_mut().for_each(|entry| entry.sync = SyncState::NotServed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock()
    }
}

/// The gauges `watch_age_seconds{watch}` and `watch_synced{watch}` of a process's watches.
#[derive(Debug, Clone, Default)]
pub struct WatchMetrics {
    watches: Vec<WatchHealth>,
}

impl WatchMetrics {
    /// The metrics of these watches.
    pub fn new(watches: impl IntoIterator<Item = WatchHealth>) -> Self {
        Self { watches: watches.into_iter().collect() }
    }

    /// Adds the metrics to a registry.
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&WatchHealth) -> f64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.watches.iter().try_for_each(|watch| {
            ConstGauge::new(value(watch)).encode(family.encode_family(&[("watch", watch.name())])?)
        })
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let age = "Seconds since the last sign of life of the watch";
        self.gauge(&mut encoder, "watch_age_seconds", age, |watch| watch.age().as_secs_f64())?;
        let synced = "1 if the watch has listed everything that exists at least once, 0 otherwise";
        self.gauge(&mut encoder, "watch_synced", synced, |watch| f64::from(u8::from(watch.synced())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_two() -> WatchHealth {
        WatchHealth::new("pods", ["a", "b"].map(|name| Some(name.to_owned())).into())
    }

    fn state(health: &WatchHealth, namespace: &str) -> WatchState {
        health.in_namespace(namespace).unwrap().state
    }

    fn sync(health: &WatchHealth) -> [SyncState; 2] {
        ["a", "b"].map(|namespace| health.in_namespace(namespace).unwrap().sync)
    }

    fn forbidden() -> WatchState {
        WatchState::Forbidden("no".into())
    }

    #[test]
    fn each_namespace_has_its_own_state() {
        let health = of_two();
        assert_eq!(health.set_listed(0), Some(WatchState::Live));
        assert_eq!(health.set(1, forbidden()), Some(forbidden()));
        assert_eq!(health.set(1, forbidden()), None, "unchanged");
        assert_eq!((state(&health, "a"), state(&health, "b")), (WatchState::Live, forbidden()));
        assert_eq!(health.set(0, WatchState::Failing("cut".into())), Some(WatchState::Failing("cut".into())));
        assert_eq!(health.set_all(forbidden()), Some(forbidden()));
        assert_eq!(health.set_all(forbidden()), None);
        assert_eq!(health.by_namespace().len(), 2);
    }

    #[test]
    fn a_cluster_wide_watch_covers_every_namespace_and_others_cover_their_own() {
        let everywhere = WatchHealth::new("pods", vec![None]);
        everywhere.set_listed(0);
        assert_eq!(state(&everywhere, "any"), WatchState::Live);
        assert_eq!(of_two().in_namespace("c"), None);
    }

    #[test]
    fn a_watch_is_synced_when_every_namespace_is() {
        let health = of_two();
        health.set_listed(0);
        assert!(!health.synced());
        health.set_listed(1);
        assert!(health.synced());
    }

    #[test]
    fn a_forbidden_namespace_is_not_waited_for_and_not_synced() {
        let health = of_two();
        health.set(1, forbidden());
        assert_eq!(health.waiting_for().as_deref(), Some("namespace a: the first list is under way"));
        health.set_listed(0);
        assert_eq!((health.waiting_for(), health.synced(), health.forbidden()), (None, false, None));
        // A later failure does not make the watch pending again.
        health.set(1, WatchState::Failing("connection refused".into()));
        assert_eq!((health.waiting_for(), sync(&health)), (None, [SyncState::Synced, SyncState::Forbidden]));
        health.set_listed(1);
        assert!(health.synced());
    }

    #[test]
    fn a_kind_that_is_forbidden_in_all_namespaces_is_reported() {
        let health = of_two();
        health.set(0, forbidden());
        assert_eq!(health.forbidden(), None);
        health.set(1, forbidden());
        assert!(health.forbidden().is_some() && health.waiting_for().is_none());
    }

    #[test]
    fn a_kind_that_is_not_served_is_waited_for_unless_it_is_optional() {
        let health = WatchHealth::new("pods", vec![None]);
        health.set_all(WatchState::NotServed);
        assert_eq!(health.waiting_for().as_deref(), Some("the cluster has no such kind"));
        assert!(!health.synced());
        health.set_not_served();
        assert!(health.synced() && health.waiting_for().is_none());
    }

    #[test]
    fn a_kind_that_is_removed_counts_as_not_served_until_it_is_listed_again() {
        let health = of_two();
        health.set_listed(0);
        health.set(1, forbidden());
        assert_eq!(health.set_served(), None, "it was not absent");
        health.set_all(WatchState::NotServed);
        assert_eq!(sync(&health), [SyncState::NotServed, SyncState::Forbidden]);
        assert_eq!(health.set_served(), Some(WatchState::Starting));
        assert_eq!(sync(&health), [SyncState::NotServed, SyncState::Forbidden]);
        health.set_listed(0);
        assert_eq!(sync(&health), [SyncState::Synced, SyncState::Forbidden]);
    }

    #[test]
    fn an_event_in_one_namespace_does_not_hide_the_silence_of_another() {
        let health = of_two();
        let long = Duration::from_secs(50);
        health.lock()[1].alive -= long;
        health.mark_alive(0);
        assert!(health.age() >= long && health.in_namespace("b").unwrap().age >= long);
        assert!(health.in_namespace("a").unwrap().age < long);
        health.mark_alive(1);
        assert!(health.age() < long);
    }

    #[test]
    fn age_and_sync_state_of_each_watch_are_metrics() {
        let mut registry = Registry::with_prefix("example");
        WatchMetrics::new([WatchHealth::new("pods", vec![None])]).register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("example_watch_age_seconds{watch=\"pods\"} 0.0"), "{text}");
        assert!(text.contains("example_watch_synced{watch=\"pods\"} 0.0"), "{text}");
    }
}
