//! A running container with its probes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::jiff::Timestamp;

use super::probe::{ProbeResult, Prober};
use super::runs::Run;
use super::status::State;

/// One run and the results of its probes.
pub(super) struct Running {
    pub run: Arc<Run>,
    pub since: Timestamp,
    pub started: Instant,
    startup: Option<Prober>,
    liveness: Option<Prober>,
    readiness: Option<Prober>,
}

impl Running {
    /// A run that has just started.
    pub(super) fn new(run: Arc<Run>, container: &Container) -> Self {
        let started = Instant::now();
        let prober = |probe: &Option<_>| probe.as_ref().map(|probe| Prober::new(probe, started));
        Self {
            run,
            since: Timestamp::now(),
            started,
            startup: prober(&container.startup_probe),
            liveness: prober(&container.liveness_probe),
            readiness: prober(&container.readiness_probe),
        }
    }

    /// The state for the pod's status.
    pub(super) fn state(&self) -> State {
        let passes = |prober: &Option<Prober>| {
            prober.as_ref().is_none_or(|prober| prober.result() == ProbeResult::Passing)
        };
        let started = passes(&self.startup);
        State::Running { since: self.since, started, ready: started && passes(&self.readiness) }
    }

    /// Sends the probes that are due. Liveness and readiness are probed only after the startup
    /// probe has passed. If the caller drops this future, the probe is sent again.
    pub(super) async fn probe(&mut self, container: &Container, address: Ipv4Addr) {
        if let Some(startup) = &mut self.startup
            && startup.result() != ProbeResult::Passing
        {
            return startup.probe(container, address).await;
        }
        for prober in [&mut self.liveness, &mut self.readiness].into_iter().flatten() {
            prober.probe(container, address).await;
        }
    }

    /// The failed probe that requires a restart.
    pub(super) fn failed_probe(&self) -> Option<&'static str> {
        let failing = |prober: &Option<Prober>| {
            prober.as_ref().is_some_and(|prober| prober.result() == ProbeResult::Failing)
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
