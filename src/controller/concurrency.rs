//! How many groups are reconciled concurrently.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Reconciles that make progress. Each has up to five requests in flight. With more of them a burst of new
/// groups is hardly done sooner, but the API server's watches fall behind, so a group that is created
/// meanwhile is seen seconds late (docs/performance.md).
pub const CONCURRENT_RECONCILES: usize = 8;
/// A reconcile that takes longer than this waits for requests that hang, as a rule: it takes a tenth of this on a
/// busy API server. It gives up its slot.
const PATIENCE: Duration = Duration::from_secs(2);
/// Reconciles in all, with those that gave up their slot.
pub(super) const MAX_CONCURRENT: usize = 32;

/// The slots of the reconciles that make progress.
#[derive(Debug)]
pub(super) struct Slots(Arc<Semaphore>);

/// One of [`Slots`], until it is dropped.
pub(super) struct Slot(OwnedSemaphorePermit);

impl Default for Slots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONCURRENT_RECONCILES)))
    }
}

impl Slots {
    /// Waits for a free slot.
    pub(super) async fn acquire(&self) -> Slot {
        Slot(self.0.clone().acquire_owned().await.expect("invariant: the slots are never closed"))
    }
}

impl Slot {
    /// Runs one reconcile to its end, in this slot for as long as it seems to make progress.
    pub(super) async fn run(self, reconcile: impl Future<Output = ()>) {
        let Self(permit) = self;
        let mut reconcile = pin!(reconcile);
        if timeout(PATIENCE, &mut reconcile).await.is_err() {
            drop(permit);
            reconcile.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    async fn started_after(slots: &Slots, began: Instant) -> Duration {
        slots.acquire().await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_hangs_keeps_its_slot_for_two_seconds_and_is_run_to_its_end() {
        let (slots, began) = (Slots::default(), Instant::now());
        let mut hanging = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENT_RECONCILES {
            hanging.spawn(slots.acquire().await.run(sleep(5 * PATIENCE)));
        }
        assert_eq!(started_after(&slots, began).await, PATIENCE);
        hanging.join_all().await;
        assert_eq!(began.elapsed(), 5 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_ends_frees_its_slot_at_once() {
        let (slots, began) = (Slots::default(), Instant::now());
        for _ in 0..CONCURRENT_RECONCILES {
            tokio::spawn(slots.acquire().await.run(sleep(PATIENCE / 4)));
        }
        assert_eq!(started_after(&slots, began).await, PATIENCE / 4);
    }
}
