//! Exponential backoff with jitter. Pure: randomness is an argument.

use std::time::Duration;

/// Delays that double from `initial` to `max`. Each is drawn from the upper half of its range, so
/// that clients that failed together do not retry together.
///
/// ```
/// use std::time::Duration;
/// use kcg_runtime::backoff::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// let delays: Vec<_> = (0..7).map(|_| backoff.next_delay(1.0).as_secs()).collect();
/// assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff without failures so far.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, failures: 0 }
    }

    /// Counts one more failure and returns the delay after it. `random` is in [0, 1).
    pub fn next_delay(&mut self, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.delay(self.failures, random)
    }

    /// The delay after `failures` failures in a row, for a caller that counts them itself. `random`
    /// is in [0, 1).
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        jittered(self.initial.saturating_mul(factor).min(self.max), random)
    }

    /// Forgets all failures: the next delay is the initial one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half of `delay` and all of it. `random` is in [0, 1).
pub fn jittered(delay: Duration, random: f64) -> Duration {
    delay.mul_f64(random.clamp(0.0, 1.0).mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let delays: Vec<_> = (0..7).map(|_| backoff.next_delay(1.0).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 10_000]);
        (0..100).for_each(|_| assert_eq!(backoff.next_delay(1.0).as_secs(), 10));
        backoff.reset();
        assert_eq!(backoff.next_delay(1.0).as_millis(), 250);
    }

    #[test]
    fn a_caller_may_count_the_failures() {
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
        let delays = [1, 3, 60, u32::MAX].map(|failures| backoff.delay(failures, 1.0).as_millis());
        assert_eq!(delays, [250, 1000, 15_000, 15_000]);
    }

    #[test]
    fn jitter_subtracts_half_at_most() {
        assert_eq!(jittered(Duration::from_secs(10), 0.0).as_secs(), 5);
        assert_eq!(jittered(Duration::from_secs(10), 0.5).as_millis(), 7500);
    }
}
