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

/// A handle on a follower's well-being; cheap to clone, never waits.
#[derive(Debug, Clone)]
pub struct Pulse {
    name: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

/// One slot for each namespace that is watched; one for all of them in a cluster-wide watch.
#[derive(Debug)]
struct Inner {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    state: State,
    synced: bool,
    alive: Instant,
}

impl Pulse {
    pub(super) fn new(name: &str, slots: usize) -> Self {
        let slot = Slot { state: State::Starting, synced: false, alive: Instant::now() };
        Self { name: name.into(), inner: Arc::new(Mutex::new(Inner { slots: vec![slot; slots.max(1)] })) }
    }

    /// What the metrics and the readiness lines call this watch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Time since the watch last proved that it is alive, by an event, a bookmark, a page of a list, a watch
    /// newly opened or an answer of discovery; the worst of its namespaces. Counts from the start where there
    /// was no sign yet. An idle watch in good health stays below [`super::WATCH_TIMEOUT`] and a few seconds.
    pub fn age(&self) -> Duration {
        self.lock().slots.iter().map(|slot| slot.alive.elapsed()).max().unwrap_or_default()
    }

    /// What stands in the way, where something does: the first namespace that is not live speaks for all.
    pub fn state(&self) -> State {
        let inner = self.lock();
        let troubled = inner.slots.iter().find(|slot| slot.state != State::Live);
        troubled.map_or(State::Live, |slot| slot.state.clone())
    }

    /// Whether everything that existed has been told at least once. A kind that the cluster does not have, and
    /// need not have, counts as told.
    pub fn synced(&self) -> bool {
        self.lock().slots.iter().all(|slot| slot.synced)
    }

    pub(super) fn beat(&self, slot: usize) {
        self.lock().slots[slot].alive = Instant::now();
    }

    pub(super) fn beat_all(&self) {
        self.lock().slots.iter_mut().for_each(|slot| slot.alive = Instant::now());
    }

    /// Sets the state of one namespace; the state of all where it changed by that.
    pub(super) fn set(&self, slot: usize, state: State) -> Option<State> {
        let before = self.state();
        self.lock().slots[slot].state = state;
        let after = self.state();
        (before != after).then_some(after)
    }

    /// Sets the state of every namespace; the new state where that changed anything.
    pub(super) fn set_all(&self, state: &State) -> Option<State> {
        let before = self.state();
        self.lock().slots.iter_mut().for_each(|slot| slot.state = state.clone());
        (before != *state).then(|| state.clone())
    }

    /// One namespace has told everything; true where all have now.
    pub(super) fn set_synced(&self, slot: usize) -> bool {
        self.lock().slots[slot].synced = true;
        self.synced()
    }

    pub(super) fn set_all_synced(&self) {
        self.lock().slots.iter_mut().for_each(|slot| slot.synced = true);
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn the_worst_namespace_speaks_for_all() {
        let pulse = Pulse::new("pods", 2);
        assert_eq!(pulse.state(), State::Starting);
        assert_eq!(pulse.set(0, State::Live), None);
        assert_eq!(pulse.set(1, State::Live), Some(State::Live));
        assert_eq!(pulse.set(1, State::Forbidden("no".into())), Some(State::Forbidden("no".into())));
        assert_eq!(pulse.set(0, State::Live), None);
    }

    #[test]
    fn synced_is_when_every_namespace_is() {
        let pulse = Pulse::new("pods", 2);
        assert!(!pulse.set_synced(0) && !pulse.synced());
        assert!(pulse.set_synced(1) && pulse.synced());
    }

    #[test]
    fn a_sign_of_life_in_one_namespace_does_not_hide_the_silence_of_another() {
        let pulse = Pulse::new("pods", 2);
        pulse.lock().slots[1].alive -= Duration::from_secs(50);
        pulse.beat(0);
        assert!(pulse.age() >= Duration::from_secs(50));
        pulse.beat(1);
        assert!(pulse.age() < Duration::from_secs(50));
    }

    #[test]
    fn each_watch_has_its_age_and_its_readiness_among_the_metrics() {
        let mut registry = Registry::with_prefix("kcg");
        WatchMetrics::new([Pulse::new("pods", 1)]).register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("kcg_watch_age_seconds{watch=\"pods\"} 0.0"), "{text}");
        assert!(text.contains("kcg_watch_synced{watch=\"pods\"} 0.0"), "{text}");
    }
}
