//! Leader election on a Lease, so that of several replicas only one writes. The decisions in `step`
//! and `record` are pure.
//!
//! *Invariant:* the Lease is only replaced as a whole, with the resourceVersion that was read, so
//! one of two candidates gets a conflict.
//!
//! *Invariant:* a Lease expires if it did not change for its duration by our own clock. Clocks of
//! two machines are never compared.
//!
//! *Invariant:* the holder stops at the renew deadline, before others may take over. The time
//! between the two is the difference in clock rates, plus the pause of the process, that the
//! election tolerates.

mod clock;
mod elector;
mod leadership;
mod record;
mod step;

use std::time::Duration;

pub use clock::{Clock, Moment, SystemClock};
pub use elector::{Elector, LeaseMetrics};
pub use leadership::Leadership;
use thiserror::Error;

/// The durations of the election, with client-go's meaning. Failover takes at most `lease` plus
/// `retry` after a crash, and `retry` after a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How long others wait before they take over from a holder that no longer renews.
    pub lease: Duration,
    /// How long after the last successful renewal the holder stops.
    pub renew_deadline: Duration,
    /// The delay between attempts to acquire, and between attempts to renew if one failed. A
    /// healthy holder renews after twice this delay.
    pub retry: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew_deadline: Duration::from_secs(7),
            retry: Duration::from_secs(1),
        }
    }
}

/// These durations would allow two holders at the same time.
#[derive(Debug, Error)]
#[error(
    "lease timings of {} s, {} s and {} s: the lease must be whole seconds and longer than the renew deadline, \
     and the renew deadline at least three times the retry delay", .0.lease.as_secs_f32(), .0.renew_deadline.as_secs_f32(), .0.retry.as_secs_f32()
)]
pub struct UnsafeTimings(Timings);

impl Timings {
    fn checked(self) -> Result<Self, UnsafeTimings> {
        let whole = self.lease.subsec_nanos() == 0;
        let safe = self.lease > self.renew_deadline && self.renew_deadline >= self.retry * 3;
        if whole && safe && !self.retry.is_zero() { Ok(self) } else { Err(UnsafeTimings(self)) }
    }
}

/// A process that wants to hold a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Unique to this process; another process in the same pod has another identity.
    pub identity: String,
}

impl Candidate {
    /// The identity is `host`, usually the name of the pod, and a random suffix.
    pub fn new(namespace: &str, name: &str, host: &str) -> Self {
        let identity = format!("{host}_{:08x}", fastrand::u32(..));
        Self { namespace: namespace.to_owned(), name: name.to_owned(), identity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_that_would_allow_two_holders_are_rejected() {
        let seconds = Duration::from_secs;
        let with = |lease, renew_deadline, retry| Timings { lease, renew_deadline, retry }.checked();
        assert!(Timings::default().checked().is_ok());
        assert!(with(seconds(7), seconds(7), seconds(1)).is_err());
        assert!(with(seconds(10), seconds(7), seconds(3)).is_err());
        assert!(with(seconds(10), seconds(7), seconds(0)).is_err());
        let error = with(Duration::from_millis(10_500), seconds(7), seconds(1)).unwrap_err().to_string();
        assert!(
            error.starts_with("lease timings of 10.5 s, 7 s and 1 s: the lease must be whole seconds"),
            "{error}"
        );
    }
}
