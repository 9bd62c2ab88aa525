//! Which records are poisoned. Partition and offset decide, so that every attempt in every process
//! fails for the same records.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::record::Record;

/// Whether this record belongs to the poisoned fraction `rate` (0 to 1).
pub fn is_poisoned(record: &Record, rate: f64) -> bool {
    // DefaultHasher::new() has no random seed, unlike a HashMap's.
    let mut hasher = DefaultHasher::new();
    (&record.place.topic, record.place.partition, record.offset).hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish()).f64() < rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poisoned(topic: &str, rate: f64) -> Vec<i64> {
        let at = |offset| Record::new(topic, 1, offset, "bar-1", 5);
        (0..10_000).filter(|offset| is_poisoned(&at(*offset), rate)).collect()
    }

    #[test]
    fn the_rate_is_kept_and_every_attempt_agrees() {
        for (rate, least, most) in [(0.0, 0, 0), (0.01, 70, 130), (0.5, 4_800, 5_200), (1.0, 10_000, 10_000)]
        {
            let chosen = poisoned("orders", rate);
            assert!((least..=most).contains(&chosen.len()), "{rate}: {}", chosen.len());
            assert_eq!(chosen, poisoned("orders", rate));
        }
    }

    #[test]
    fn topics_have_different_poisoned_records() {
        assert_ne!(poisoned("orders", 0.01), poisoned("payments", 0.01));
    }
}
