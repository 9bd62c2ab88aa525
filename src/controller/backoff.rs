//! When a failed write is retried: delays by the kind of error. Pure: time and randomness are
//! arguments.

use std::time::Duration;

use kcg_core::child_error::ChildError;
use kcg_runtime::backoff::Backoff;

use crate::cluster::WriteError;

const fn backoff(error: &WriteError) -> Backoff {
    let (initial, max) = match error {
        WriteError::Child { error, .. } => match error {
            // No watch reports when the object of another owner is deleted.
            ChildError::NameConflict { .. } | ChildError::SelectorImmutable => (5_000, 10_000),
            // The watches report when the kind is served or the topic exists; this is only a
            // fallback.
            ChildError::NotServed | ChildError::WaitsForTopics { .. } => (10_000, 30_000),
            // A user has to change something, or other objects have to go.
            ChildError::Refused { .. } | ChildError::QuotaExceeded { .. } => (5_000, 30_000),
            ChildError::Failed { .. } => (250, 15_000),
        },
        WriteError::Waiting => (1_000, 30_000),
        WriteError::NotLeading => (250, 15_000),
    };
    Backoff::new(Duration::from_millis(initial), Duration::from_millis(max))
}

/// The delay after `attempts` failures in a row, this one included. `random` is in [0, 1): groups
/// that failed together do not retry together.
pub(super) fn delay(error: &WriteError, attempts: u32, random: f64) -> Duration {
    let delay = backoff(error).delay(attempts, random);
    match error {
        WriteError::Child { retry_after: Some(retry_after), .. } => delay.max(*retry_after),
        _ => delay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(retry_after: Option<u64>) -> WriteError {
        let error = ChildError::Failed { message: String::new() };
        WriteError::Child { error, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn delays_double_up_to_their_maximum() {
        let conflict = ChildError::NameConflict { owner: None }.into();
        let refused = ChildError::Refused { message: String::new() }.into();
        for (error, attempts, longest) in [
            (&failed(None), 1, 250),
            (&failed(None), 3, 1000),
            (&failed(None), 60, 15_000),
            (&conflict, 1, 5000),
            (&conflict, 9, 10_000),
            (&refused, 1, 5000),
            (&refused, 2, 10_000),
            (&refused, u32::MAX, 30_000),
        ] {
            let (low, high) = (delay(error, attempts, 0.0), delay(error, attempts, 0.999));
            assert_eq!(low, Duration::from_millis(longest / 2), "{error:?} {attempts}");
            assert!(high > low && high <= Duration::from_millis(longest), "{error:?} {attempts}");
        }
    }

    #[test]
    fn retry_after_may_lengthen_a_delay_and_never_shortens_it() {
        assert_eq!(delay(&failed(Some(20)), 1, 0.5), Duration::from_secs(20));
        assert!(delay(&failed(Some(1)), 60, 0.5) > Duration::from_secs(1));
    }
}
