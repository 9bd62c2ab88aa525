//! The story's time: seconds since it began, and the wall clock that logs of others are written by.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When the story began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    epoch: Duration,
}

impl Clock {
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), epoch }
    }

    /// The beginning, by the steady clock.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Seconds since the beginning.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What time of the story a wall clock's milliseconds since 1970 are.
    pub fn at_milliseconds(&self, milliseconds: u64) -> f64 {
        self.at_seconds(Duration::from_millis(milliseconds).as_secs_f64())
    }

    /// The same for seconds.
    pub fn at_seconds(&self, seconds: f64) -> f64 {
        seconds - self.epoch.as_secs_f64()
    }

    /// Now in milliseconds since 1970.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from((self.epoch + self.began.elapsed()).as_millis()).unwrap_or(u64::MAX)
    }
}
