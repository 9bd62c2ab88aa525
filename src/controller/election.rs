//! The leader election, or a single process that leads without one.

use std::sync::Arc;

use kcg_runtime::lease::{Candidate, Clock, Elector, Leadership, LeaseMetrics, Timings, UnsafeTimings};
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether and how this process takes part in an election.
pub(super) struct Election(Option<Elector>);

impl Election {
    /// Without timings, the process leads from the start.
    pub(super) fn new(
        client: Client,
        candidate: Candidate,
        timings: Option<Timings>,
        clock: Arc<dyn Clock>,
        metrics: LeaseMetrics,
    ) -> Result<(Self, watch::Receiver<Option<Leadership>>), UnsafeTimings> {
        let Some(timings) = timings else {
            metrics.lead_without_lease();
            let (_, leading) = watch::channel(Some(Leadership::without_lease(clock)));
            return Ok((Self(None), leading));
        };
        let (elector, leading) = Elector::new(client, candidate, timings, clock, metrics)?;
        Ok((Self(Some(elector)), leading))
    }

    /// Takes part until `resign` is cancelled, and releases the Lease.
    pub(super) async fn run(self, resign: CancellationToken) {
        match self.0 {
            Some(elector) => elector.run(resign).await,
            None => resign.cancelled().await,
        }
    }
}
