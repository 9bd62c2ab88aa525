//! How a watch is doing: what stands in its way, whether it has told everything, and when it last gave a sign
//! of life. Shared with the probes, the metrics and whoever must know how old a fact may be.

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

/// What a watch can do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchState {
    /// The first list is under way.
    Starting,
    /// Events flow, or would.
    Live,
    /// The API server cannot be reached or answers with errors; tried again with growing waits.
    Failing(String),
    /// The cluster has no such kind. Looked for again and again.
    NotServed,
    /// The API server says that we may not watch this, in its words; tried again with growing waits.
    Forbidden(String),
}

impl fmt::Display for WatchState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => formatter.write_str("the first list is under way"),
            Self::Live => formatter.write_str("live"),
            Self::Failing(said) => write!(formatter, "broken: {said}"),
            Self::NotServed => formatter.write_str("the cluster has no such kind"),
            Self::Forbidden(said) => write!(formatter, "forbidden: {said}"),
        }
    }
}

/// What a watch has told so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    Pending,
    /// That it may not look. Nothing has been told yet, and nothing is to be waited for.
    Forbidden,
    /// That there is no such kind, and of a kind that has come since nothing yet.
    NotServed,
    /// Everything that existed when it last listed, and what changed since.
    Synced,
}

/// How the watch of one namespace is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceHealth {
    pub state: WatchState,
    pub sync: SyncState,
    /// Time since the last sign of life, as in [`WatchHealth::age`].
    pub age: Duration,
}

/// A handle on a follower's well-being; cheap to clone, never waits.
#[derive(Debug, Clone)]
pub struct WatchHealth {
    name: Arc<str>,
    slots: Arc<Mutex<Vec<Slot>>>,
}

/// One for each namespace that is watched; one for all of them in a cluster-wide watch.
#[derive(Debug)]
struct Slot {
    /// `None` is the whole cluster.
    namespace: Option<String>,
    state: WatchState,
    sync: SyncState,
    alive: Instant,
}

impl Slot {
    /// Sets the state; whether that changed it.
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
        let slot = |namespace| Slot {
            namespace,
            state: WatchState::Starting,
            sync: SyncState::Pending,
            alive: Instant::now(),
        };
        let slots = namespaces.into_iter().map(slot).collect();
        Self { name: name.into(), slots: Arc::new(Mutex::new(slots)) }
    }

    /// What the metrics and the readiness lines call this watch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the watch that looks into this namespace is doing; `None` where none does.
    pub fn in_namespace(&self, namespace: &str) -> Option<NamespaceHealth> {
        let slots = self.lock();
        let looks_there = |slot: &&Slot| slot.namespace.as_deref().is_none_or(|name| name == namespace);
        slots.iter().find(looks_there).map(Slot::health)
    }

    /// How the watch of each namespace is doing; `None` is the whole cluster.
    pub fn by_namespace(&self) -> Vec<(Option<String>, NamespaceHealth)> {
        self.lock().iter().map(|slot| (slot.namespace.clone(), slot.health())).collect()
    }

    /// Time since the watch last proved that it is alive, by an event, a bookmark, a page of a list, a watch
    /// newly opened or an answer of discovery; the worst of its namespaces. Counts from the start where there
    /// was no sign yet. An idle watch in good health stays below [`super::WATCH_TIMEOUT`] and a few seconds.
    pub fn age(&self) -> Duration {
        self.lock().iter().map(|slot| slot.alive.elapsed()).max().unwrap_or_default()
    }

    /// Whether everything that existed has been told at least once. A kind that the cluster does not have, and
    /// need not have, counts as told.
    pub fn synced(&self) -> bool {
        self.lock().iter().all(Slot::synced)
    }

    /// What the first list still waits for, as a readiness line says it; `None` once every namespace has been told,
    /// or has been refused once: one that was deleted, or is forbidden, is no reason to leave the others alone.
    pub fn waiting_for(&self) -> Option<String> {
        let slots = self.lock();
        let waiting = slots.iter().find(|slot| slot.sync == SyncState::Pending)?;
        Some(match &waiting.namespace {
            Some(namespace) => format!("namespace {namespace}: {}", waiting.state),
            None => waiting.state.to_string(),
        })
    }

    /// Why nothing at all can be seen, where every namespace refuses; `None` where one does not.
    pub fn forbidden(&self) -> Option<String> {
        let slots = self.lock();
        let refuses = |slot: &Slot| slot.sync == SyncState::Forbidden;
        slots.iter().all(refuses).then(|| slots.first().map(|slot| slot.state.to_string()))?
    }

    pub(super) fn mark_alive(&self, slot: usize) {
        self.lock()[slot].alive = Instant::now();
    }

    pub(super) fn mark_all_alive(&self) {
        self.lock().iter_mut().for_each(|slot| slot.alive = Instant::now());
    }

    /// Sets the state of one namespace; the new state where that changed it.
    pub(super) fn set(&self, slot: usize, state: WatchState) -> Option<WatchState> {
        self.lock()[slot].set_state(&state).then_some(state)
    }

    /// Sets the state of every namespace; the new state where that changed any.
    pub(super) fn set_all(&self, state: WatchState) -> Option<WatchState> {
        let changed = self.lock().iter_mut().fold(false, |changed, slot| slot.set_state(&state) | changed);
        changed.then_some(state)
    }

    /// A kind that was absent has come: its first list is under way. The new state where that changed any.
    pub(super) fn set_served(&self) -> Option<WatchState> {
        let mut slots = self.lock();
        let absent = slots.iter_mut().filter(|slot| slot.state == WatchState::NotServed);
        let changed = absent.fold(false, |changed, slot| slot.set_state(&WatchState::Starting) | changed);
        changed.then_some(WatchState::Starting)
    }

    /// One namespace has told everything; its new state where that changed it.
    pub(super) fn set_listed(&self, slot: usize) -> Option<WatchState> {
        let slot = &mut self.lock()[slot];
        slot.sync = SyncState::Synced;
        slot.set_state(&WatchState::Live).then_some(WatchState::Live)
    }

    /// The cluster need not have the kind: its absence is all that there is to tell.
    pub(super) fn set_not_served(&self) {
        self.lock().iter_mut().for_each(|slot| slot.sync = SyncState::NotServed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock()
    }
}

/// The gauges `watch_age_seconds{watch}` and `watch_synced{watch}` of a process's watches.
#[derive(Debug, Clone, Default)]
pub struct WatchMetrics {
    watches: Vec<WatchHealth>,
}

impl WatchMetrics {
    pub fn new(watches: impl IntoIterator<Item = WatchHealth>) -> Self {
        Self { watches: watches.into_iter().collect() }
    }

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
        self.watches.iter().try_for_each(|health| {
            ConstGauge::new(value(health)).encode(family.encode_family(&[("watch", health.name())])?)
        })
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let age = "Seconds since the watch last proved that it is alive";
        self.gauge(&mut encoder, "watch_age_seconds", age, |health| health.age().as_secs_f64())?;
        let synced = "1 where the watch has told everything that exists at least once";
        self.gauge(&mut encoder, "watch_synced", synced, |health| f64::from(u8::from(health.synced())))
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

    fn told(health: &WatchHealth) -> [SyncState; 2] {
        ["a", "b"].map(|namespace| health.in_namespace(namespace).unwrap().sync)
    }

    fn forbidden() -> WatchState {
        WatchState::Forbidden("no".into())
    }

    #[test]
    fn each_namespace_speaks_for_itself() {
        let health = of_two();
        assert_eq!(health.set_listed(0), Some(WatchState::Live));
        assert_eq!(health.set(1, forbidden()), Some(forbidden()));
        assert_eq!(health.set(1, forbidden()), None, "no news");
        assert_eq!((state(&health, "a"), state(&health, "b")), (WatchState::Live, forbidden()));
        assert_eq!(health.set(0, WatchState::Failing("cut".into())), Some(WatchState::Failing("cut".into())));
        assert_eq!(health.set_all(forbidden()), Some(forbidden()));
        assert_eq!(health.set_all(forbidden()), None);
        assert_eq!(health.by_namespace().len(), 2);
    }

    #[test]
    fn a_watch_of_the_whole_cluster_speaks_for_every_namespace_and_others_for_their_own() {
        let everywhere = WatchHealth::new("pods", vec![None]);
        everywhere.set_listed(0);
        assert_eq!(state(&everywhere, "any"), WatchState::Live);
        assert_eq!(of_two().in_namespace("c"), None);
    }

    #[test]
    fn synced_is_when_every_namespace_is() {
        let health = of_two();
        health.set_listed(0);
        assert!(!health.synced());
        health.set_listed(1);
        assert!(health.synced());
    }

    #[test]
    fn a_namespace_that_may_not_be_read_is_not_waited_for_and_not_synced() {
        let health = of_two();
        health.set(1, forbidden());
        assert_eq!(health.waiting_for().as_deref(), Some("namespace a: the first list is under way"));
        health.set_listed(0);
        assert_eq!((health.waiting_for(), health.synced(), health.forbidden()), (None, false, None));
        // What fails later is no reason to wait again.
        health.set(1, WatchState::Failing("connection refused".into()));
        assert_eq!((health.waiting_for(), told(&health)), (None, [SyncState::Synced, SyncState::Forbidden]));
        health.set_listed(1);
        assert!(health.synced());
    }

    #[test]
    fn what_may_be_read_nowhere_is_told_apart() {
        let health = of_two();
        health.set(0, forbidden());
        assert_eq!(health.forbidden(), None);
        health.set(1, forbidden());
        assert!(health.forbidden().is_some() && health.waiting_for().is_none());
    }

    #[test]
    fn a_kind_that_is_absent_is_waited_for_only_where_the_cluster_must_have_it() {
        let health = WatchHealth::new("pods", vec![None]);
        health.set_all(WatchState::NotServed);
        assert_eq!(health.waiting_for().as_deref(), Some("the cluster has no such kind"));
        assert!(!health.synced());
        health.set_not_served();
        assert!(health.synced() && health.waiting_for().is_none());
    }

    #[test]
    fn a_kind_that_goes_takes_with_it_what_was_told_until_it_is_listed_again() {
        let health = of_two();
        health.set_listed(0);
        health.set(1, forbidden());
        assert_eq!(health.set_served(), None, "it was not absent");
        health.set_all(WatchState::NotServed);
        assert_eq!(told(&health), [SyncState::NotServed, SyncState::Forbidden]);
        assert_eq!(health.set_served(), Some(WatchState::Starting));
        assert_eq!(told(&health), [SyncState::NotServed, SyncState::Forbidden]);
        health.set_listed(0);
        assert_eq!(told(&health), [SyncState::Synced, SyncState::Forbidden]);
    }

    #[test]
    fn a_sign_of_life_in_one_namespace_does_not_hide_the_silence_of_another() {
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
    fn each_watch_has_its_age_and_its_readiness_among_the_metrics() {
        let mut registry = Registry::with_prefix("kcg");
        WatchMetrics::new([WatchHealth::new("pods", vec![None])]).register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("kcg_watch_age_seconds{watch=\"pods\"} 0.0"), "{text}");
        assert!(text.contains("kcg_watch_synced{watch=\"pods\"} 0.0"), "{text}");
    }
}
