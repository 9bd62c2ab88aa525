//! Leader election on a Lease: of several replicas one writes. Floor 2 (I/O shell); the decisions in `step` and
//! `record` are pure.
//!
//! The Lease is only ever replaced whole, under the resourceVersion that was read, so that of two candidates
//! one gets a conflict. Expiry is judged by how long the record stood unchanged before our own eyes, never by
//! comparing clocks of two machines. The holder stops itself at the renew deadline, well before others may take
//! over; the gap between the two is the difference in clock rates and the pause that it survives.

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

/// How the election runs. Fail-over after a crash takes `lease` and one `retry` at most, after a release one
/// `retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How long others wait before they take over from a holder that fell silent.
    pub lease: Duration,
    /// When a holder that cannot renew stops.
    pub renew_deadline: Duration,
    /// The pause between attempts to acquire, and between attempts to renew after one has failed. A holder in
    /// good health renews at every second one.
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

#[derive(Debug, Error)]
#[error(
    "lease timings of {} s, {} s and {} s: the lease must be whole seconds and longer than the renew deadline, \
     and that at least three times the retry", .0.lease.as_secs_f32(), .0.renew_deadline.as_secs_f32(), .0.retry.as_secs_f32()
)]
pub struct UnsafeTimings(Timings);

impl Timings {
    fn checked(self) -> Result<Self, UnsafeTimings> {
        let whole = self.lease.subsec_nanos() == 0;
        let safe = self.lease > self.renew_deadline && self.renew_deadline >= self.retry * 3;
        if whole && safe && !self.retry.is_zero() { Ok(self) } else { Err(UnsafeTimings(self)) }
    }
}

/// Who wants to hold which Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Names this very process and no other, not even its predecessor in the same pod.
    pub identity: String,
}

impl Candidate {
    /// The identity is `host` (the pod's name, so that people recognise it) and a random part.
    pub fn new(namespace: &str, name: &str, host: &str) -> Self {
        let identity = format!("{host}_{:08x}", fastrand::u32(..));
        Self { namespace: namespace.to_owned(), name: name.to_owned(), identity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_under_which_two_could_hold_it_are_refused() {
        let seconds = Duration::from_secs;
        let with = |lease, renew_deadline, retry| Timings { lease, renew_deadline, retry }.checked();
        assert!(Timings::default().checked().is_ok());
        assert!(with(seconds(7), seconds(7), seconds(1)).is_err());
        assert!(with(seconds(10), seconds(7), seconds(3)).is_err());
        assert!(with(seconds(10), seconds(7), seconds(0)).is_err());
        let said = with(Duration::from_millis(10_500), seconds(7), seconds(1)).unwrap_err().to_string();
        assert!(
            said.starts_with("lease timings of 10.5 s, 7 s and 1 s: the lease must be whole seconds"),
            "{said}"
        );
    }
}
