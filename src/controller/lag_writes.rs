//! The rate of status writes that only update the lag, for the whole operator: when many groups
//! begin to lag at once, their statuses are written one after the other.

use std::time::{Duration, Instant};

/// Ten writes a second.
const INTERVAL: Duration = Duration::from_millis(100);
/// How far ahead writes are scheduled. A group that would have to wait longer asks again then, and
/// may have another lag.
const HORIZON: Duration = Duration::from_mins(10);

/// Schedules the writes, each at its own moment. Pure: the time is an argument.
#[derive(Debug, Default)]
pub(super) struct LagWrites {
    /// When the next write may be made.
    free: Option<Instant>,
}

impl LagWrites {
    /// The moment at which one more status may be written; it is taken. The error is the moment to
    /// ask again.
    pub(super) fn reserve(&mut self, now: Instant) -> Result<Instant, Instant> {
        let moment = self.free.map_or(now, |free| free.max(now));
        if moment > now + HORIZON {
            return Err(now + HORIZON);
        }
        self.free = Some(moment + INTERVAL);
        Ok(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_are_written_and_each_group_waits_once() {
        let (mut writes, now) = (LagWrites::default(), Instant::now());
        let moments: Vec<Instant> = (0..30).map(|_| writes.reserve(now).unwrap()).collect();
        for second in 0..3 {
            let (from, to) = (now + Duration::from_secs(second), now + Duration::from_secs(second + 1));
            assert_eq!(moments.iter().filter(|moment| (from..to).contains(*moment)).count(), 10);
        }
        // After a pause, none is saved up.
        let later = now + Duration::from_mins(1);
        assert_eq!(writes.reserve(later), Ok(later));
        assert_eq!(writes.reserve(later), Ok(later + INTERVAL));
    }

    #[test]
    fn the_schedule_is_bounded() {
        let (mut writes, now) = (LagWrites::default(), Instant::now());
        let taken = (0..10_000).filter(|_| writes.reserve(now).is_ok()).count();
        assert_eq!(taken, 6001);
        assert_eq!(writes.reserve(now), Err(now + HORIZON));
        assert!(writes.reserve(now + INTERVAL).is_ok());
    }
}
