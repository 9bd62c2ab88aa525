//! How a watch is doing: what stands in its way, whether it has told everything, and when it last gave a sign
//! of life. Shared with the probes, the metrics and whoever must know how old a fact may be.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

/// What a watch can do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The first list is under way.
    Starting,
    /// Events flow, or would.
    Live,
    /// The API server cannot be reached or answers with errors; tried again with growing waits.
    Broken(String),
    /// The cluster has no such kind. Looked for again and again.
    Absent,
    /// The API server says that we may not watch this, in its words; tried again with growing waits.
    Forbidden(String),
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => formatter.write_str("the first list is under way"),
            Self::Live => formatter.write_str("live"),
            Self::Broken(said) => write!(formatter, "broken: {said}"),
            Self::Absent => formatter.write_str("the cluster has no such kind"),
            Self::Forbidden(said) => write!(formatter, "forbidden: {said}"),
        }
    }
}

/// What a watch has told so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Nothing,
    /// That it may not look. Nothing has been told yet, and nothing is to be waited for.
    Refusal,
    /// That there is no such kind, and of a kind that has come since nothing yet.
    Absence,
    /// Everything that existed when it last listed, and what changed since.
    Everything,
}

/// How the watch of one namespace is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    pub told: Told,
    /// Time since the last sign of life, as in [`Pulse::age`].
    pub age: Duration,
}

/// A handle on a follower's well-being; cheap to clone, never waits.
#[derive(Debug, Clone)]
pub struct Pulse {
    name: Arc<str>,
    slots: Arc<Mutex<Vec<Slot>>>,
}

/// One for each namespace that is watched; one for all of them in a cluster-wide watch.
#[derive(Debug)]
struct Slot {
    /// `None` is the whole cluster.
    namespace: Option<String>,
    state: State,
    told: Told,
    alive: Instant,
}

impl Slot {
    /// Sets the state; whether that changed it.
    fn turn(&mut self, state: &State) -> bool {
        self.told = match (state, self.told) {
            (State::Forbidden(_), Told::Nothing) => Told::Refusal,
            (State::Absent, Told::Everything) => Told::Absence,
            (_, told) => told,
        };
        let changed = self.state != *state;
        if changed {
            self.state = state.clone();
        }
        changed
    }

    fn synced(&self) -> bool {
        matches!(self.told, Told::Absence | Told::Everything)
    }

    fn health(&self) -> Health {
        Health { state: self.state.clone(), told: self.told, age: self.alive.elapsed() }
    }
}

impl Pulse {
    /// `None` among the namespaces is the whole cluster.
    pub(super) fn new(name: &str, namespaces: Vec<Option<String>>) -> Self {
        let slot = |namespace| Slot {
            namespace,
            state: State::Starting,
            told: Told::Nothing,
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
    pub fn of(&self, namespace: &str) -> Option<Health> {
        let slots = self.lock();
        let looks_there = |slot: &&Slot| slot.namespace.as_deref().is_none_or(|name| name == namespace);
        slots.iter().find(looks_there).map(Slot::health)
    }

    /// How the watch of each namespace is doing; `None` is the whole cluster.
    pub fn each(&self) -> Vec<(Option<String>, Health)> {
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
    pub fn waits_for(&self) -> Option<String> {
        let slots = self.lock();
        let waiting = slots.iter().find(|slot| slot.told == Told::Nothing)?;
        Some(match &waiting.namespace {
            Some(namespace) => format!("namespace {namespace}: {}", waiting.state),
            None => waiting.state.to_string(),
        })
    }

    /// Why nothing at all can be seen, where every namespace refuses; `None` where one does not.
    pub fn refused(&self) -> Option<String> {
        let slots = self.lock();
        let refuses = |slot: &Slot| slot.told == Told::Refusal;
        slots.iter().all(refuses).then(|| slots.first().map(|slot| slot.state.to_string()))?
    }

    pub(super) fn beat(&self, slot: usize) {
        self.lock()[slot].alive = Instant::now();
    }

    pub(super) fn beat_all(&self) {
        self.lock().iter_mut().for_each(|slot| slot.alive = Instant::now());
    }

    /// Sets the state of one namespace; the new state where that changed it.
    pub(super) fn set(&self, slot: usize, state: State) -> Option<State> {
        self.lock()[slot].turn(&state).then_some(state)
    }

    /// Sets the state of every namespace; the new state where that changed any.
    pub(super) fn set_all(&self, state: State) -> Option<State> {
        let changed = self.lock().iter_mut().fold(false, |changed, slot| slot.turn(&state) | changed);
        changed.then_some(state)
    }

    /// A kind that was absent has come: its first list is under way. The new state where that changed any.
    pub(super) fn set_served(&self) -> Option<State> {
        let mut slots = self.lock();
        let absent = slots.iter_mut().filter(|slot| slot.state == State::Absent);
        let changed = absent.fold(false, |changed, slot| slot.turn(&State::Starting) | changed);
        changed.then_some(State::Starting)
    }

    /// One namespace has told everything; its new state where that changed it.
    pub(super) fn set_listed(&self, slot: usize) -> Option<State> {
        let slot = &mut self.lock()[slot];
        slot.told = Told::Everything;
        slot.turn(&State::Live).then_some(State::Live)
    }

    /// The cluster need not have the kind: its absence is all that there is to tell.
    pub(super) fn set_absence_told(&self) {
        self.lock().iter_mut().for_each(|slot| slot.told = Told::Absence);
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gauges `watch_age_seconds{watch}` and `watch_synced{watch}` of a process's watches.
#[derive(Debug, Clone, Default)]
pub struct WatchMetrics {
    pulses: Vec<Pulse>,
}

impl WatchMetrics {
    pub fn new(pulses: impl IntoIterator<Item = Pulse>) -> Self {
        Self { pulses: pulses.into_iter().collect() }
    }

    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Pulse) -> f64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.pulses.iter().try_for_each(|pulse| {
            ConstGauge::new(value(pulse)).encode(family.encode_family(&[("watch", pulse.name())])?)
        })
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let age = "Seconds since the watch last proved that it is alive";
        self.gauge(&mut encoder, "watch_age_seconds", age, |pulse| pulse.age().as_secs_f64())?;
        let synced = "1 where the watch has told everything that exists at least once";
        self.gauge(&mut encoder, "watch_synced", synced, |pulse| f64::from(u8::from(pulse.synced())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_two() -> Pulse {
        Pulse::new("pods", ["a", "b"].map(|name| Some(name.to_owned())).into())
    }

    fn state(pulse: &Pulse, namespace: &str) -> State {
        pulse.of(namespace).unwrap().state
    }

    fn told(pulse: &Pulse) -> [Told; 2] {
        ["a", "b"].map(|namespace| pulse.of(namespace).unwrap().told)
    }

    fn forbidden() -> State {
        State::Forbidden("no".into())
    }

    #[test]
    fn each_namespace_speaks_for_itself() {
        let pulse = of_two();
        assert_eq!(pulse.set_listed(0), Some(State::Live));
        assert_eq!(pulse.set(1, forbidden()), Some(forbidden()));
        assert_eq!(pulse.set(1, forbidden()), None, "no news");
        assert_eq!((state(&pulse, "a"), state(&pulse, "b")), (State::Live, forbidden()));
        assert_eq!(pulse.set(0, State::Broken("cut".into())), Some(State::Broken("cut".into())));
        assert_eq!(pulse.set_all(forbidden()), Some(forbidden()));
        assert_eq!(pulse.set_all(forbidden()), None);
        assert_eq!(pulse.each().len(), 2);
    }

    #[test]
    fn a_watch_of_the_whole_cluster_speaks_for_every_namespace_and_others_for_their_own() {
        let everywhere = Pulse::new("pods", vec![None]);
        everywhere.set_listed(0);
        assert_eq!(state(&everywhere, "any"), State::Live);
        assert_eq!(of_two().of("c"), None);
    }

    #[test]
    fn synced_is_when_every_namespace_is() {
        let pulse = of_two();
        pulse.set_listed(0);
        assert!(!pulse.synced());
        pulse.set_listed(1);
        assert!(pulse.synced());
    }

    #[test]
    fn a_namespace_that_may_not_be_read_is_not_waited_for_and_not_synced() {
        let pulse = of_two();
        pulse.set(1, forbidden());
        assert_eq!(pulse.waits_for().as_deref(), Some("namespace a: the first list is under way"));
        pulse.set_listed(0);
        assert_eq!((pulse.waits_for(), pulse.synced(), pulse.refused()), (None, false, None));
        // What fails later is no reason to wait again.
        pulse.set(1, State::Broken("connection refused".into()));
        assert_eq!((pulse.waits_for(), told(&pulse)), (None, [Told::Everything, Told::Refusal]));
        pulse.set_listed(1);
        assert!(pulse.synced());
    }

    #[test]
    fn what_may_be_read_nowhere_is_told_apart() {
        let pulse = of_two();
        pulse.set(0, forbidden());
        assert_eq!(pulse.refused(), None);
        pulse.set(1, forbidden());
        assert!(pulse.refused().is_some() && pulse.waits_for().is_none());
    }

    #[test]
    fn a_kind_that_is_absent_is_waited_for_only_where_the_cluster_must_have_it() {
        let pulse = Pulse::new("pods", vec![None]);
        pulse.set_all(State::Absent);
        assert_eq!(pulse.waits_for().as_deref(), Some("the cluster has no such kind"));
        assert!(!pulse.synced());
        pulse.set_absence_told();
        assert!(pulse.synced() && pulse.waits_for().is_none());
    }

    #[test]
    fn a_kind_that_goes_takes_with_it_what_was_told_until_it_is_listed_again() {
        let pulse = of_two();
        pulse.set_listed(0);
        pulse.set(1, forbidden());
        assert_eq!(pulse.set_served(), None, "it was not absent");
        pulse.set_all(State::Absent);
        assert_eq!(told(&pulse), [Told::Absence, Told::Refusal]);
        assert_eq!(pulse.set_served(), Some(State::Starting));
        assert_eq!(told(&pulse), [Told::Absence, Told::Refusal]);
        pulse.set_listed(0);
        assert_eq!(told(&pulse), [Told::Everything, Told::Refusal]);
    }

    #[test]
    fn a_sign_of_life_in_one_namespace_does_not_hide_the_silence_of_another() {
        let pulse = of_two();
        let long = Duration::from_secs(50);
        pulse.lock()[1].alive -= long;
        pulse.beat(0);
        assert!(pulse.age() >= long && pulse.of("b").unwrap().age >= long);
        assert!(pulse.of("a").unwrap().age < long);
        pulse.beat(1);
        assert!(pulse.age() < long);
    }

    #[test]
    fn each_watch_has_its_age_and_its_readiness_among_the_metrics() {
        let mut registry = Registry::with_prefix("kcg");
        WatchMetrics::new([Pulse::new("pods", vec![None])]).register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("kcg_watch_age_seconds{watch=\"pods\"} 0.0"), "{text}");
        assert!(text.contains("kcg_watch_synced{watch=\"pods\"} 0.0"), "{text}");
    }
}
