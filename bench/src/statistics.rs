//! Medians and ranges of repeated measurements.

use serde::Serialize;

/// The widest range, as a part of the median, of which the median still says something.
pub const MAX_SPREAD: f64 = 0.15;
/// The fewest measurements of which the median says something.
pub const LEAST: usize = 3;

/// What repeated measurements of one thing say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The smallest one.
    pub low: f64,
    /// The largest one.
    pub high: f64,
    /// The range as a part of the median.
    pub spread: f64,
    /// Whether there are [`LEAST`] measurements, and their spread is at most [`MAX_SPREAD`].
    pub is_result: bool,
}

impl Summary {
    /// `None` without a sample.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        let spread = if high > low { (high - low) / median.abs() } else { 0.0 };
        Some(Self { median, low, high, spread, is_result: sorted.len() >= LEAST && spread <= MAX_SPREAD })
    }
}

/// The value that `part` of the samples do not exceed; 0 without a sample.
pub fn percentile(samples: &[f64], part: f64) -> f64 {
    let sorted = sorted(samples);
    let last = sorted.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is an index.
    let index = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(index.min(last)).copied().unwrap_or_default()
}

/// The quotients of measurements of the same round.
pub fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The order of `count` contestants in a round: ABC, then CBA, so that whatever drifts during the run
/// meets all of them alike.
pub fn order(count: usize, round: usize) -> Vec<usize> {
    let forward = 0..count;
    if round.is_multiple_of(2) { forward.collect() } else { forward.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_result_if_the_range_is_narrow() {
        let narrow = Summary::of(&[1.0, 1.1, 1.05]).expect("samples");
        assert_eq!((narrow.median, narrow.low, narrow.high), (1.05, 1.0, 1.1));
        assert!(narrow.is_result);
        assert!(!Summary::of(&[1.0, 1.3, 1.1]).expect("samples").is_result);
        assert!(!Summary::of(&[1.0, 1.0]).expect("samples").is_result, "twice is no result");
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn measurements_that_are_all_zero_have_no_spread() {
        let zero = Summary::of(&[0.0; 3]).expect("samples");
        assert!(zero.is_result && zero.spread == 0.0);
    }

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = [0.5, 0.99, 1.0].map(|part| percentile(&samples, part).to_string());
        assert_eq!(found, ["50", "99", "100"]);
        assert_eq!(percentile(&[], 0.5).to_string(), "0");
    }

    #[test]
    fn every_second_round_has_the_reverse_order() {
        assert_eq!([order(3, 0), order(3, 1)], [vec![0, 1, 2], vec![2, 1, 0]]);
    }
}
