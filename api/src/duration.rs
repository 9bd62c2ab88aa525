//! Prometheus durations.

use crate::names;

/// The units, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The milliseconds of a Prometheus duration such as `1m30s`; `None` if it is not one.
pub fn millis(duration: &str) -> Option<u64> {
    if !names::DURATION.matches(duration) {
        return None;
    }
    let mut rest = duration;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].split(|c: char| c.is_ascii_digit()).next()?;
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        sum = sum.saturating_add(count.saturating_mul(millis));
        rest = &rest[digits + unit.len()..];
    }
    Some(sum)
}

/// The longer of a least duration and another one.
pub fn at_least<'a>(least: &'a str, duration: &'a str) -> &'a str {
    if is_longer(least, duration) { least } else { duration }
}

/// Whether one Prometheus duration is longer than another; false if one of them is not a duration.
pub fn is_longer(one: &str, other: &str) -> bool {
    millis(one).zip(millis(other)).is_some_and(|(one, other)| one > other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_compared_by_value() {
        assert!(is_longer("1m", "59s") && is_longer("1500ms", "1s"));
        assert!(!is_longer("60s", "1m") && !is_longer("soon", "1s") && !is_longer("1s", ""));
    }

    #[test]
    fn the_units_of_a_duration_add_up() {
        for (duration, want) in [
            ("5s", Some(5000)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("1w1d1h1m1s1ms", Some(694_861_001)),
            ("500ms", Some(500)),
            ("9999w", Some(6_047_395_200_000)),
            ("", None),
            ("5", None),
            ("soon", None),
        ] {
            assert_eq!(millis(duration), want, "{duration}");
        }
    }
}
