//! Limits how many log lines clients can cause.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets `burst` lines pass in each `period` and counts the rest.
#[derive(Debug)]
pub(crate) struct LogLimit {
    burst: u32,
    period: Duration,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    passed: u32,
    suppressed: u64,
}

impl LogLimit {
    /// At most `burst` lines in each `period`.
    pub(crate) fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, window: Mutex::default() }
    }

    /// `Some` if a line may be written, with the number of lines suppressed since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        let mut window = self.window.lock();
        let now = Instant::now();
        if window.since.is_none_or(|since| now.duration_since(since) >= self.period) {
            window.since = Some(now);
            window.passed = 0;
        }
        if window.passed < self.burst {
            window.passed += 1;
            Some(std::mem::take(&mut window.suppressed))
        } else {
            window.suppressed += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_becomes_a_few_lines_and_a_count() {
        let limit = LogLimit::new(2, Duration::from_secs(10));
        let passed: Vec<_> = (0..5).map(|_| limit.pass()).collect();
        assert_eq!(passed, [Some(0), Some(0), None, None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limit.pass(), Some(3));
    }
}
