//! A metric whose value is a point in time.

use std::time::SystemTime;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A gauge of a Unix timestamp in seconds, 0 for none. Clones set the same metric.
#[derive(Clone, Debug, Default)]
pub struct TimestampGauge(Gauge);

impl TimestampGauge {
    /// Registers the gauge; by convention, the name ends in `_timestamp_seconds`.
    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.0.clone());
    }

    /// Sets the time, rounded down to a second; `None` and times before 1970 become 0.
    pub fn set(&self, time: Option<SystemTime>) {
        let since_epoch = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = since_epoch.unwrap_or_default().as_secs();
        self.0.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
