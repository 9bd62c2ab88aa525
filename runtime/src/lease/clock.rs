//! The monotonic and the wall clock, since neither alone measures reliably how much time has
//! passed.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// A reading of both clocks. The monotonic clock stops while the machine is suspended; the wall
/// clock jumps if it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic time since a fixed point in the life of this process.
    pub mono: Duration,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Moment {
    /// Whether less than `limit` has passed since `earlier` by both clocks. If the wall clock was
    /// set back, the monotonic clock decides alone.
    pub(super) fn is_within(self, limit: Duration, earlier: Self) -> bool {
        let by_mono = self.mono.saturating_sub(earlier.mono) < limit;
        let by_wall = self.wall.duration_since(earlier.wall).map_or(true, |passed| passed < limit);
        by_mono && by_wall
    }
}

/// A source of moments.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Moment;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { mono: self.0.elapsed(), wall: SystemTime::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_passed_if_it_has_by_either_clock() {
        let hour = 3600;
        let start = Moment {
            mono: Duration::from_secs(hour),
            wall: SystemTime::UNIX_EPOCH + Duration::from_hours(20),
        };
        let table = [
            // (monotonic seconds later, wall seconds later, still within 7 s)
            (6, 6_i64, true),
            (7, 7, false),
            (1, 60, false),   // suspended: the monotonic clock stopped
            (60, 1, false),   // the wall clock was set back meanwhile
            (1, -3600, true), // set back by an hour: only the monotonic clock counts
            (7, -3600, false),
            (1, 3600, false), // set forward by an hour: losing the Lease is safer than two writers
            (1, 10 * 365 * 24 * 3600, false), // by ten years
        ];
        for (mono, wall, expected) in table {
            let shift = Duration::from_secs(wall.unsigned_abs());
            let now = Moment {
                mono: start.mono + Duration::from_secs(mono),
                wall: if wall < 0 { start.wall - shift } else { start.wall + shift },
            };
            assert_eq!(now.is_within(Duration::from_secs(7), start), expected, "{mono} {wall}");
        }
    }
}
