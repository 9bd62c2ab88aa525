//! How long to wait before the next attempt: longer with each failure, never all at the same moment. Pure.

use std::time::Duration;

/// The first and the longest wait between attempts that fail.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(250);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What worked for this long is in order: the waits start over.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

/// Waits that double from `first` to `longest`; each is drawn from the upper half, so that many watches which
/// broke together do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The wait after one more failure; `random` lies in [0, 1).
    pub fn after_failure(&mut self, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        jittered(doubled.min(self.longest), random)
    }

    /// Things work again: the next failure waits as the first one did.
    pub fn recover(&mut self) {
        self.failures = 0;
    }
}

/// Between half of `wait` and all of it; `random` lies in [0, 1).
pub(crate) fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(random.clamp(0.0, 1.0).mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_recovery() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let waits: Vec<_> = (0..7).map(|_| backoff.after_failure(1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000]);
        (0..100).for_each(|_| assert_eq!(backoff.after_failure(1.0).as_secs(), 10));
        backoff.recover();
        assert_eq!(backoff.after_failure(1.0).as_millis(), 250);
    }

    #[test]
    fn jitter_takes_off_half_at_most() {
        assert_eq!(jittered(Duration::from_secs(10), 0.0).as_secs(), 5);
        assert_eq!(jittered(Duration::from_secs(10), 0.5).as_millis(), 7500);
    }
}
