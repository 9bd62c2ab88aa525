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

/// A client's text as one line of at most `max` of its characters, with control characters escaped.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line: String = text.chars().take(max).flat_map(escape).collect();
    if text.chars().nth(max).is_some() {
        line.push('…');
    }
    line
}

/// Also escapes the characters that reorder the text around them on a terminal.
fn escape(c: char) -> impl Iterator<Item = char> {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escaped = (c.is_control() || reorders).then(|| c.escape_unicode());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
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

    #[test]
    fn a_client_s_text_cannot_begin_a_line_or_colour_it() {
        assert_eq!(one_line("a\nlevel=info \u{1b}[31m", 200), "a\\u{a}level=info \\u{1b}[31m");
        assert_eq!(one_line("\u{202e}evil", 200), "\\u{202e}evil");
        assert_eq!(one_line(&"é".repeat(201), 200), format!("{}…", "é".repeat(200)));
    }
}
