//! What one scrape of a pod may bring, as in a ServiceMonitor. Prometheus rejects a scrape with more as
//! a whole.

use serde::Deserialize;

use crate::names;

/// The shortest interval between two scrapes of an endpoint.
pub const MIN_INTERVAL: &str = "1s";

/// Bounds of one scrape. 0 stands for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScrapeLimits {
    /// The most samples of a scrape.
    pub sample_limit: Option<i64>,
    /// The most labels of a sample.
    pub label_limit: Option<i64>,
    /// The most bytes of a scrape's body without compression, for example `16MB`.
    pub body_size_limit: Option<String>,
}

impl ScrapeLimits {
    /// What a group has that sets nothing.
    pub(crate) fn of_product() -> Self {
        Self::new(50_000, 64, "16MB")
    }

    /// The most that a group may set if the installation does not say.
    pub(crate) fn most_of_product() -> Self {
        Self::new(200_000, 128, "64MB")
    }

    fn new(samples: i64, labels: i64, body: &str) -> Self {
        Self {
            sample_limit: Some(samples),
            label_limit: Some(labels),
            body_size_limit: Some(body.to_owned()),
        }
    }

    /// The limits in words, with the fields that set them; `None` if there are none.
    pub fn describe(&self) -> Option<String> {
        let number = |limit: Option<i64>, field: &str| {
            limit.filter(|limit| *limit != 0).map(|limit| format!("{field} {limit}"))
        };
        let size = self.body_size_limit.as_deref().filter(|size| *size != "0");
        let limits = [
            number(self.sample_limit, "sampleLimit"),
            number(self.label_limit, "labelLimit"),
            size.map(|size| format!("bodySizeLimit {size}")),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        (!limits.is_empty()).then(|| format!("spec.metrics.{}", limits.join(", ")))
    }

    /// The same limits; those that are not set are the other's.
    pub(crate) fn or(&self, other: Self) -> Self {
        Self {
            sample_limit: self.sample_limit.or(other.sample_limit),
            label_limit: self.label_limit.or(other.label_limit),
            body_size_limit: self.body_size_limit.clone().or(other.body_size_limit),
        }
    }

    /// The same limits; those above `most` are `most`'s.
    pub(crate) fn at_most(self, most: Self) -> Self {
        let number = |own: Option<i64>, most: Option<i64>| {
            if own.is_some_and(|own| is_within(own, most.unwrap_or_default())) { own } else { most }
        };
        let body = self.body_size_limit.as_deref();
        let is_size_within = body.is_some_and(|own| is_size_within(own, most.body_size_limit.as_deref()));
        Self {
            sample_limit: number(self.sample_limit, most.sample_limit),
            label_limit: number(self.label_limit, most.label_limit),
            body_size_limit: if is_size_within { self.body_size_limit } else { most.body_size_limit },
        }
    }
}

/// Whether a limit is not above another one.
pub(crate) fn is_within(limit: i64, most: i64) -> bool {
    limit >= 0 && (most == 0 || (1..=most).contains(&limit))
}

/// Whether a size is not above another one; false if it is not a size.
pub(crate) fn is_size_within(limit: &str, most: Option<&str>) -> bool {
    bytes(limit).is_some_and(|limit| is_within(limit, most.and_then(bytes).unwrap_or_default()))
}

/// The bytes of a size, whose units Prometheus takes for powers of 1024; `None` if it is not one.
fn bytes(size: &str) -> Option<i64> {
    if !names::BODY_SIZE.matches(size) {
        return None;
    }
    let end = size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len());
    let (number, unit) = size.split_at(end);
    let factor = match unit.bytes().next() {
        Some(b'K') => 1 << 10,
        Some(b'M') => 1 << 20,
        Some(b'G') => 1 << 30,
        _ => 1,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_compared_by_value() {
        assert_eq!([bytes("0"), bytes("16MB"), bytes("1KiB")], [Some(0), Some(16 << 20), Some(1024)]);
        assert_eq!([bytes("16"), bytes("1.5MB"), bytes("-1B"), bytes("")], [None; 4]);
        assert!(is_size_within("1GB", Some("1024MiB")) && is_size_within("1GB", Some("0")));
        assert!(!is_size_within("65MB", Some("64MB")) && !is_size_within("0", Some("64MB")));
    }

    #[test]
    fn limits_are_described_with_their_fields() {
        let limits = ScrapeLimits::of_product().describe().unwrap();
        assert_eq!(limits, "spec.metrics.sampleLimit 50000, labelLimit 64, bodySizeLimit 16MB");
        assert_eq!(ScrapeLimits::new(0, 0, "0").describe(), None);
    }

    #[test]
    fn a_limit_is_the_group_s_unless_it_is_above_the_most() {
        let most = ScrapeLimits::most_of_product;
        let group = ScrapeLimits::new(100_000, 1000, "0");
        assert_eq!(group.at_most(most()), ScrapeLimits::new(100_000, 128, "64MB"));
        let none = ScrapeLimits::new(0, 0, "0");
        assert_eq!(none.clone().at_most(none.clone()), none);
        assert_eq!(
            ScrapeLimits::default().or(ScrapeLimits::of_product()).at_most(most()),
            ScrapeLimits::of_product()
        );
    }
}
