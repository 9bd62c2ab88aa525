//! Durations as people write them on a command line.

use std::time::Duration;

/// A hundred years: no clock reaches further without trouble.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// A whole number and its unit: `500ms`, `5s`, `2m`, `12h`, `90d`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u64 = text[..text.len() - unit.len()].parse().map_err(|_| malformed())?;
    if unit == "ms" {
        return Ok(Duration::from_millis(count));
    }
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(malformed()),
    };
    let total = count.checked_mul(seconds).filter(|total| *total <= LONGEST);
    total.map(Duration::from_secs).ok_or_else(malformed)
}

fn malformed() -> String {
    "write a whole number and its unit, for instance 500ms, 5s, 2m, 12h or 90d".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(parse("90d"), Ok(Duration::from_hours(90 * 24)));
        for text in ["", "5", "s", "-5s", "5y", "1.5s", "99999999999999999999s", "9999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
