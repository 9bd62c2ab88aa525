//! Log lines that a client can provoke: some of them, and how many more there were. Floor 3.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets `burst` lines pass in each `period`, and counts the rest.
#[derive(Debug)]
pub struct Throttle {
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

impl Throttle {
    /// At most `burst` lines in each `period`.
    pub fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, window: Mutex::default() }
    }

    /// `Some` where a line may be written: how many were not since the last one that was.
    pub fn pass(&self) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A client's text as one harmless line of at most `longest` characters of it: control characters escaped.
pub fn harmless(text: &str, longest: usize) -> String {
    let mut line: String = text.chars().take(longest).flat_map(escaped).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

/// Besides the control characters, those that reorder the line around them on a terminal.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escape = (c.is_control() || reorders).then(|| c.escape_unicode());
    let plain = escape.is_none().then_some(c);
    escape.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_becomes_a_few_lines_and_a_count() {
        let throttle = Throttle::new(2, Duration::from_secs(10));
        let passed: Vec<_> = (0..5).map(|_| throttle.pass()).collect();
        assert_eq!(passed, [Some(0), Some(0), None, None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(throttle.pass(), Some(3));
    }

    #[test]
    fn a_client_s_text_cannot_begin_a_line_or_colour_it() {
        assert_eq!(harmless("a\nlevel=info \u{1b}[31m", 200), "a\\u{a}level=info \\u{1b}[31m");
        assert_eq!(harmless("\u{202e}evil", 200), "\\u{202e}evil");
        assert_eq!(harmless(&"é".repeat(201), 200), format!("{}…", "é".repeat(200)));
    }
}
