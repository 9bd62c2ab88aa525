//! The keys of the records. The key decides the partition, so the distribution of keys decides how
//! skewed a topic is.

/// The number of keys in the skewed distribution.
const ZIPF_KEYS: u16 = 1000;

/// A distribution of keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Each record has its own key, so all partitions get about the same number.
    Uniform,
    /// All records have the same key, so one partition gets all of them.
    Single,
    /// A thousand keys. The k-th is 1/k^S times as frequent as the first, so a few partitions get
    /// more than the others.
    Zipf(f64),
}

impl Distribution {
    /// Parses `uniform`, `single` or `zipf:S`.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => return Ok(Self::Uniform),
            "single" => return Ok(Self::Single),
            _ => {}
        }
        let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
        let valid = exponent.filter(|exponent: &f64| (0.0..=10.0).contains(exponent));
        valid.map(Self::Zipf).ok_or_else(|| "write uniform, single, or zipf:S with S from 0 to 10".to_owned())
    }
}

/// Generates one key after the other.
#[derive(Debug)]
pub struct Keys {
    distribution: Distribution,
    /// The cumulative shares of the skewed distribution: of the first key, of the first two, and so
    /// on.
    shares: Vec<f64>,
    random: fastrand::Rng,
}

impl Keys {
    /// The generator of a distribution.
    pub fn new(distribution: Distribution) -> Self {
        let mut shares = Vec::new();
        if let Distribution::Zipf(exponent) = distribution {
            let mut sum = 0.0;
            shares.extend((1..=ZIPF_KEYS).map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            }));
            for share in &mut shares {
                *share /= sum;
            }
        }
        // A fixed seed, so that runs have the same skew and can be compared.
        Self { distribution, shares, random: fastrand::Rng::with_seed(1) }
    }

    /// The key of the record with this value.
    pub fn draw(&mut self, value: &str) -> String {
        match self.distribution {
            Distribution::Uniform => value.to_owned(),
            Distribution::Single => "key".to_owned(),
            Distribution::Zipf(_) => {
                let drawn = self.random.f64();
                format!("key-{}", self.shares.partition_point(|share| *share < drawn) + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn drawn(distribution: Distribution) -> HashMap<String, u32> {
        let mut keys = Keys::new(distribution);
        let mut drawn = HashMap::new();
        for number in 0..10_000 {
            *drawn.entry(keys.draw(&format!("bar-{number}"))).or_default() += 1;
        }
        drawn
    }

    #[test]
    fn a_distribution_is_parsed_or_the_error_names_the_forms() {
        for (text, distribution) in [
            ("uniform", Distribution::Uniform),
            ("single", Distribution::Single),
            ("zipf:0", Distribution::Zipf(0.0)),
            ("zipf:1.2", Distribution::Zipf(1.2)),
        ] {
            assert_eq!(Distribution::read(text), Ok(distribution));
        }
        for text in ["", "zipf", "zipf:", "zipf:-1", "zipf:NaN", "zipf:inf", "Uniform"] {
            assert!(Distribution::read(text).unwrap_err().contains("zipf:S"), "{text}");
        }
    }

    #[test]
    fn uniform_keys_are_all_different_and_single_keys_all_equal() {
        assert_eq!(drawn(Distribution::Uniform).len(), 10_000);
        assert_eq!(drawn(Distribution::Single).len(), 1);
    }

    #[test]
    fn the_rank_of_a_zipf_key_decides_its_frequency() {
        // The first key's share is 1 / (the sum of k^-S over 1000 keys).
        for (exponent, first, keys) in [(0.0, 10, 990), (1.0, 1336, 700), (1.2, 2306, 500), (2.0, 6083, 90)] {
            let drawn = drawn(Distribution::Zipf(exponent));
            let found = drawn["key-1"];
            let spread = 10 + first / 10;
            assert!(found.abs_diff(first) <= spread, "zipf:{exponent}: {found} of 10000 are the first key");
            assert!(drawn.len() <= 1000, "zipf:{exponent}: {} keys", drawn.len());
            assert!(drawn.len() >= keys - keys / 2, "zipf:{exponent}: {} keys", drawn.len());
        }
    }

    #[test]
    fn two_runs_draw_the_same_keys() {
        assert_eq!(drawn(Distribution::Zipf(1.0)), drawn(Distribution::Zipf(1.0)));
    }
}
