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
    use std::sync::Arc;
    use std::time::SystemTime;

    use parking_lot::Mutex;

    use super::record::Record;
    use super::step::{ElectionStep, next_step, observe};
    use super::*;

    /// A clock that counts this many milliseconds in ten of real time.
    #[derive(Debug)]
    struct RatedClock(u64, Mutex<u64>);

    impl Clock for RatedClock {
        fn now(&self) -> Moment {
            let passed = Duration::from_millis(*self.1.lock() * self.0 / 10);
            Moment { mono: passed, wall: SystemTime::UNIX_EPOCH + passed }
        }
    }

    /// How many real milliseconds pass from the end of a leadership to the takeover, negative if two lead
    /// meanwhile, of a holder that loses its connection after its renewal at `cut`. Both look every 10 ms.
    fn gap(timings: Timings, holder_rate: u64, candidate_rate: u64, cut: u64) -> i64 {
        let clocks = [holder_rate, candidate_rate].map(|rate| Arc::new(RatedClock(rate, Mutex::default())));
        let [holder, candidate] = &clocks;
        let leadership = Leadership::new(holder.clone(), timings.renew_deadline, holder.now());
        let record = |renewal: Moment| Record::default().held_by("holder", renewal.wall, &timings);
        let (mut stored, mut observed) = (record(holder.now()), None);
        let (mut due, mut stopped) = (timings.retry * 2, None);
        for real in (0..).step_by(10) {
            for clock in &clocks {
                *clock.1.lock() = real;
            }
            let now = holder.now();
            if real <= cut && now.mono >= due {
                leadership.renew(now);
                stored = record(now);
                due = now.mono + timings.retry * 2;
            }
            if stopped.is_none() && !leadership.still_held() {
                stopped = Some(real);
            }
            observed = observe(observed, Some(stored.clone()), candidate.now());
            let step = next_step(observed.as_ref(), candidate.now(), "candidate", &timings);
            let taken = step == ElectionStep::Replace;
            assert!(real > cut || !taken, "taken at {real} ms from a holder that renews");
            match stopped {
                Some(stopped) if taken => return i64::try_from(real - stopped).unwrap(),
                None if taken => {
                    let left = leadership.left().as_millis() * 10 / u128::from(holder_rate);
                    return -i64::try_from(left).unwrap();
                }
                _ => {}
            }
        }
        unreachable!("the candidate takes over")
    }

    #[test]
    fn two_never_lead_while_their_clocks_differ_by_less_than_lease_and_deadline() {
        let twice = Timings { lease: Duration::from_secs(14), ..Timings::default() };
        // At the default, 10 s and 7 s, a clock may run 1.4 times as fast as another.
        let table = [
            (Timings::default(), 10, 10, true),
            (Timings::default(), 10, 14, true),
            (Timings::default(), 5, 7, true),
            (Timings::default(), 20, 10, true),
            (Timings::default(), 10, 20, false),
            (twice, 10, 20, true),
            (twice, 5, 10, true),
            (twice, 20, 10, true),
        ];
        for (timings, holder, candidate, safe) in table {
            for cut in (0..4000).step_by(290) {
                let gap = gap(timings, holder, candidate, cut);
                // Each looks every 10 ms.
                assert_eq!(gap >= -10, safe, "{timings:?}, {holder}, {candidate}, {cut}: {gap} ms");
                assert!(gap >= -2000, "{timings:?}, {holder}, {candidate}, {cut}: {gap} ms");
            }
        }
    }

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
