//! When to try again: a table from the kind of fault to a delay. Pure; randomness is an argument.

use std::time::Duration;

use kcg_runtime::backoff::Backoff;

use crate::cluster::Fault;

const fn backoff(fault: &Fault) -> Backoff {
    let (initial, max) = match fault {
        // No watch reports when an object that is not ours is deleted.
        Fault::Conflict { .. } | Fault::SelectorImmutable => (5_000, 10_000),
        // The watch of the kind reports when it is served; this is a fallback.
        Fault::NotServed => (10_000, 30_000),
        // A user has to change something, here or elsewhere.
        Fault::Refused { .. } => (5_000, 30_000),
        Fault::Waiting => (1_000, 30_000),
        Fault::Failed { .. } | Fault::NotLeading => (250, 15_000),
    };
    Backoff::new(Duration::from_millis(initial), Duration::from_millis(max))
}

/// The delay after `attempts` failures in a row, including this one. `random` is in [0, 1): groups that failed together
/// do not retry together.
pub fn delay(fault: &Fault, attempts: u32, random: f64) -> Duration {
    let delay = backoff(fault).delay(attempts, random);
    match fault {
        // The server knows better when it can serve the request.
        Fault::Failed { retry_after: Some(asked), .. } => delay.max(*asked),
        _ => delay,
    }
}

/// How many repairs of one group may follow each other at once, and how many a second later on: somebody who
/// keeps changing what we keep repairing gets his way for a second at a time, and the API server its peace.
const BURST: f64 = 10.0;
const A_SECOND: f64 = 1.0;

/// The repairs that a group still may have now.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: f64,
    /// Seconds since any fixed moment.
    at: f64,
}

impl Allowance {
    /// A full one, at a moment in seconds.
    pub const fn new(now: f64) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one, or says how long to wait for it.
    pub fn take(&mut self, now: f64) -> Result<(), Duration> {
        self.left = (now - self.at).max(0.0).mul_add(A_SECOND, self.left).min(BURST);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / A_SECOND))
    }

    /// Whether there is nothing to remember.
    pub fn is_full(&self, now: f64) -> bool {
        (now - self.at).mul_add(A_SECOND, self.left) >= BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(retry_after: Option<u64>) -> Fault {
        Fault::Failed { message: String::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn delays_double_up_to_their_limit() {
        let conflict = Fault::Conflict { owner: String::new() };
        let refused = Fault::Refused { message: String::new() };
        for (fault, attempts, longest) in [
            (&failed(None), 1, 250),
            (&failed(None), 3, 1000),
            (&failed(None), 60, 15_000),
            (&conflict, 1, 5000),
            (&conflict, 9, 10_000),
            (&refused, 1, 5000),
            (&refused, 2, 10_000),
            (&refused, u32::MAX, 30_000),
        ] {
            let (low, high) = (delay(fault, attempts, 0.0), delay(fault, attempts, 0.999));
            assert_eq!(low, Duration::from_millis(longest / 2), "{fault:?} {attempts}");
            assert!(high > low && high <= Duration::from_millis(longest), "{fault:?} {attempts}");
        }
    }

    #[test]
    fn the_server_may_ask_for_longer_and_never_for_less() {
        assert_eq!(delay(&failed(Some(20)), 1, 0.5), Duration::from_secs(20));
        assert!(delay(&failed(Some(1)), 60, 0.5) > Duration::from_secs(1));
    }

    #[test]
    fn a_fight_is_slowed_to_one_repair_a_second() {
        let mut allowance = Allowance::new(0.0);
        let taken = (0..100).filter(|tenth| allowance.take(f64::from(*tenth) / 10.0).is_ok()).count();
        assert!((18..=20).contains(&taken), "{taken} in ten seconds");
        assert!(allowance.take(100.0).is_ok());
        assert!(allowance.is_full(101.0) && !allowance.is_full(100.0));
    }
}
