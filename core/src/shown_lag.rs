//! The lag as a group's status shows it: rounded, and written rarely. An autoscaler reads another
//! value at each of its syncs; a status that followed it would be written for ever.

use crate::lag::Tolerance;
use crate::quantity;

/// Rounds to records, with two significant digits. Only no lag at all is zero.
pub fn rounded(milli: i64) -> i64 {
    if milli < 1000 {
        return i64::from(milli > 0);
    }
    let mut step = 1000;
    while milli / step >= 100 {
        step *= 10;
    }
    (milli.saturating_add(step / 2)) / step * (step / 1000)
}

/// The lag and its limit as `kubectl get hpa` prints them: `950/1k`.
pub fn summary(current: Option<i64>, limit: i64) -> String {
    let current = current.map_or_else(|| "<unknown>".to_owned(), quantity::short);
    format!("{current}/{}", quantity::canonical(limit))
}

/// What a lag means for scaling.
#[derive(PartialEq, Eq)]
enum Zone {
    Nothing,
    WithinLimit,
    /// Above the limit, but an autoscaler tolerates that.
    Tolerated,
    Scaling,
}

impl Zone {
    fn of(records: i64, limit: i64, tolerance: Tolerance) -> Self {
        match records {
            ..=0 => Self::Nothing,
            _ if records <= limit => Self::WithinLimit,
            _ if tolerance.is_exceeded(i128::from(records) * 1000, limit) => Self::Scaling,
            _ => Self::Tolerated,
        }
    }
}

/// Whether a new rounded lag is worth a write of a status that shows another one, though nothing
/// else has changed: it crossed zero, the limit or the tolerance, it doubled or halved, or one of
/// them is not known.
pub fn is_worth_a_write(shown: Option<i64>, new: Option<i64>, limit: i64, tolerance: Tolerance) -> bool {
    let (Some(shown), Some(new)) = (shown, new) else {
        return shown != new;
    };
    let (smaller, larger) = (shown.min(new), shown.max(new));
    let zone = |records| Zone::of(records, limit, tolerance);
    smaller != larger && (zone(shown) != zone(new) || larger / 2 >= smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_has_two_significant_digits_and_only_no_lag_is_zero() {
        for (milli, want) in [
            (0, 0),
            (-5_000, 0),
            (1, 1),
            (999, 1),
            (1_499, 1),
            (1_500, 2),
            (99_400, 99),
            (99_500, 100),
            (104_999, 100),
            (105_000, 110),
            (949_000, 950),
            (994_000, 990),
            (995_000, 1000),
            (123_456_000, 120_000),
            (i64::MAX, 9_200_000_000_000_000),
        ] {
            assert_eq!(rounded(milli), want, "{milli}");
        }
    }

    #[test]
    fn the_summary_reads_as_the_targets_of_an_autoscaler() {
        for (current, limit, want) in [
            (Some(950), 1000, "950/1k"),
            (Some(0), 250, "0/250"),
            (Some(1200), 1000, "1.2k/1k"),
            (Some(12_000), 123_456, "12k/123456"),
            (Some(1_500_000), 1_000_000, "1.5M/1M"),
            (None, 1000, "<unknown>/1k"),
        ] {
            assert_eq!(summary(current, limit), want);
        }
    }

    #[test]
    fn a_lag_alone_is_written_if_it_crosses_a_bound_doubles_or_halves() {
        for (shown, new, want) in [
            (None, None, false),
            (None, Some(0), true),
            (Some(0), None, true),
            (Some(0), Some(0), false),
            (Some(0), Some(1), true),
            (Some(1), Some(0), true),
            (Some(500), Some(500), false),
            (Some(500), Some(990), false),
            (Some(500), Some(1000), true),
            (Some(500), Some(250), true),
            (Some(500), Some(260), false),
            (Some(1000), Some(990), false),
            (Some(990), Some(1100), true),
            (Some(1100), Some(1000), true),
            (Some(1100), Some(1200), true),
            (Some(1200), Some(1100), true),
            (Some(1200), Some(2300), false),
            (Some(1200), Some(2400), true),
            (Some(i64::MAX), Some(1), true),
        ] {
            assert_eq!(is_worth_a_write(shown, new, 1000, Tolerance::default()), want, "{shown:?} {new:?}");
        }
        assert!(!is_worth_a_write(Some(6), Some(4), i64::MAX, Tolerance::default()));
    }
}
