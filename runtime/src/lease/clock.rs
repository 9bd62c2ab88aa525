//! Two clocks in one moment: neither tells the whole truth about how much time has passed.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// What the monotonic and the wall clock say together. The first stands still while a machine is suspended; the
/// second jumps when somebody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since any fixed point in this process's life.
    pub mono: Duration,
    pub wall: SystemTime,
}

impl Moment {
    /// Whether less than `limit` has passed since `earlier` by both clocks. A wall clock that was set back
    /// says nothing: then the monotonic one decides alone.
    pub(super) fn is_within(self, limit: Duration, earlier: Self) -> bool {
        let by_mono = self.mono.saturating_sub(earlier.mono) < limit;
        let by_wall = self.wall.duration_since(earlier.wall).map_or(true, |passed| passed < limit);
        by_mono && by_wall
    }
}

/// Where moments come from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Moment;
}

/// The machine's own clocks.
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
    fn time_has_passed_when_either_clock_says_so() {
        let hour = 3600;
        let start = Moment {
            mono: Duration::from_secs(hour),
            wall: SystemTime::UNIX_EPOCH + Duration::from_hours(20),
        };
        let table = [
            // (monotonic seconds later, wall seconds later, still within 7 s)
            (6, 6_i64, true),
            (7, 7, false),
            (1, 60, false),   // suspended: the monotonic clock stood still
            (60, 1, false),   // the wall clock was set back meanwhile
            (1, -3600, true), // set back by an hour: only the monotonic clock counts
            (7, -3600, false),
            (1, 3600, false), // set forward by an hour: rather lose it than write twice
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
