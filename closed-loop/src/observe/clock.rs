//! The time of a run: seconds since it started, and the wall clock that other programs' logs use.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The start of a run, by the monotonic clock and by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    /// The run starts now.
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), epoch }
    }

    /// The start, by the monotonic clock.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Converts milliseconds since 1970 to seconds since the start.
    pub fn at_milliseconds(&self, milliseconds: u64) -> f64 {
        self.at_seconds(Duration::from_millis(milliseconds).as_secs_f64())
    }

    /// Converts seconds since 1970 to seconds since the start.
    pub fn at_seconds(&self, seconds: f64) -> f64 {
        seconds - self.epoch.as_secs_f64()
    }
}
