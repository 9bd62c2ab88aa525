//! A started container with its probes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::jiff::Timestamp;

use super::probe::{Prober, Verdict};
use super::runs::Run;
use super::status::State;

/// One run with what its probes have said.
pub(super) struct Running {
    pub run: Arc<Run>,
    pub since: Timestamp,
    pub began: Instant,
    startup: Option<Prober>,
    liveness: Option<Prober>,
    readiness: Option<Prober>,
}

impl Running {
    /// It has just started.
    pub fn new(run: Arc<Run>, container: &Container) -> Self {
        let began = Instant::now();
        let prober = |probe: &Option<_>| probe.as_ref().map(|probe| Prober::new(probe, began));
        Self {
            run,
            since: Timestamp::now(),
            began,
            startup: prober(&container.startup_probe),
            liveness: prober(&container.liveness_probe),
            readiness: prober(&container.readiness_probe),
        }
    }

    pub fn state(&self) -> State {
        let passes = |prober: &Option<Prober>| {
            prober.as_ref().is_none_or(|prober| prober.verdict() == Verdict::Passing)
        };
        let started = passes(&self.startup);
        State::Running { since: self.since, started, ready: started && passes(&self.readiness) }
    }

    /// Asks the probes that are due. Liveness and readiness count only once the startup probe has passed. Where the
    /// caller gives up on an answer, it is asked for again.
    pub async fn ask(&mut self, container: &Container, address: Ipv4Addr) {
        if let Some(startup) = &mut self.startup
            && startup.verdict() != Verdict::Passing
        {
            return startup.ask(container, address).await;
        }
        for prober in [&mut self.liveness, &mut self.readiness].into_iter().flatten() {
            prober.ask(container, address).await;
        }
    }

    /// The probe for which it has to start again.
    pub fn dead_by(&self) -> Option<&'static str> {
        let failing = |prober: &Option<Prober>| {
            prober.as_ref().is_some_and(|prober| prober.verdict() == Verdict::Failing)
        };
        if failing(&self.startup) {
            Some("startup")
        } else if failing(&self.liveness) {
            Some("liveness")
        } else {
            None
        }
    }
}
