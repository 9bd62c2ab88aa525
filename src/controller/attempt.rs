//! One attempt at a reconcile. Whatever it does ends as a result, so that it affects no other group.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, timeout};

use super::reconcile::{Outcome, ReconcileResult};

/// The deadline of one reconcile, with all its requests.
const DEADLINE: Duration = Duration::from_secs(30);
/// When a group is reconciled again after a panic.
const RETRY_AFTER_PANIC: Duration = Duration::from_mins(1);

/// Runs a reconcile. It is tried again later if it panics or does not end within the deadline.
pub(super) async fn bounded(reconcile: impl Future<Output = ReconcileResult>) -> ReconcileResult {
    let bounded = AssertUnwindSafe(timeout(DEADLINE, reconcile)).catch_unwind();
    match bounded.await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => ReconcileResult {
            requeue_at: Some(Instant::now() + DEADLINE),
            errors: vec![format!("not finished within {} s", DEADLINE.as_secs())],
            ..ReconcileResult::ended(Outcome::Failed)
        },
        Err(_) => ReconcileResult {
            requeue_at: Some(Instant::now() + RETRY_AFTER_PANIC),
            ..ReconcileResult::ended(Outcome::Panicked)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_panics_ends_as_a_result_and_is_tried_again_after_a_minute() {
        let began = Instant::now();
        let panics = async {
            tokio::task::yield_now().await;
            panic!("the object is poison");
        };
        let (panicked, other) =
            tokio::join!(bounded(panics), bounded(async { ReconcileResult::ended(Outcome::Changed) }));
        assert_eq!(
            (panicked.outcome, panicked.requeue_at),
            (Outcome::Panicked, Some(began + RETRY_AFTER_PANIC))
        );
        assert_eq!((other.outcome, other.requeue_at), (Outcome::Changed, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_never_ends_is_tried_again() {
        let began = Instant::now();
        let result = bounded(std::future::pending()).await;
        assert_eq!((result.outcome, result.requeue_at), (Outcome::Failed, Some(began + 2 * DEADLINE)));
    }
}
