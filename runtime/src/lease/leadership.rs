//! The right to write while this process holds the Lease.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Clock, Moment};

/// One uninterrupted period of holding the Lease. A leadership that is lost stays lost; the next
/// one is another value.
#[derive(Debug, Clone)]
pub struct Leadership {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    /// When the last successful renewal was sent. Others count from a later moment.
    renewed: Mutex<Moment>,
    lost: CancellationToken,
}

impl Leadership {
    pub(super) fn new(clock: Arc<dyn Clock>, deadline: Duration, sent: Moment) -> Self {
        let (renewed, lost) = (Mutex::new(sent), CancellationToken::new());
        Self { inner: Arc::new(Inner { clock, deadline, renewed, lost }) }
    }

    /// A leadership without an election, of a process that runs alone. It is never lost.
    pub fn without_lease(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        Self::new(clock, Duration::MAX, now)
    }

    /// Whether this process still holds the Lease; check it right before each write. False from the
    /// renew deadline on by either clock, even if the process was paused and the election has not
    /// run since.
    pub fn still_held(&self) -> bool {
        if self.inner.lost.is_cancelled() {
            return false;
        }
        let held = self.inner.clock.now().is_within(self.inner.deadline, self.renewed());
        if !held {
            self.inner.lost.cancel();
        }
        held
    }

    /// Cancelled when the leadership is lost or released; abort requests in flight then.
    pub fn lost(&self) -> &CancellationToken {
        &self.inner.lost
    }

    pub(super) fn renew(&self, sent: Moment) {
        *self.inner.renewed.lock() = sent;
    }

    /// The time until the renew deadline, by the monotonic clock.
    pub(super) fn left(&self) -> Duration {
        let passed = self.inner.clock.now().mono.saturating_sub(self.renewed().mono);
        self.inner.deadline.saturating_sub(passed)
    }

    fn renewed(&self) -> Moment {
        *self.inner.renewed.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[derive(Debug)]
    struct SetClock(Mutex<Moment>);

    impl SetClock {
        fn pass(&self, mono: u64, wall: u64) {
            let mut now = self.0.lock();
            now.mono += Duration::from_secs(mono);
            now.wall += Duration::from_secs(wall);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> Moment {
            *self.0.lock()
        }
    }

    fn led() -> (Arc<SetClock>, Leadership) {
        let start = Moment { mono: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
        let clock = Arc::new(SetClock(Mutex::new(start)));
        (clock.clone(), Leadership::new(clock, Duration::from_secs(7), start))
    }

    #[test]
    fn a_leadership_lasts_from_one_renewal_to_its_deadline() {
        let (clock, leadership) = led();
        clock.pass(6, 6);
        assert!(leadership.still_held());
        leadership.renew(clock.now());
        clock.pass(6, 6);
        assert!(leadership.still_held() && leadership.left() == Duration::from_secs(1));
        clock.pass(1, 1);
        assert!(!leadership.still_held() && leadership.lost().is_cancelled());
    }

    #[test]
    fn a_leadership_is_lost_when_a_suspended_machine_resumes() {
        let (clock, leadership) = led();
        clock.pass(1, 60);
        assert!(!leadership.still_held());
    }

    #[test]
    fn a_renewal_after_the_loss_does_not_restore_the_leadership() {
        let (clock, leadership) = led();
        clock.pass(8, 8);
        assert!(!leadership.still_held());
        leadership.renew(clock.now());
        assert!(!leadership.still_held());
    }
}
