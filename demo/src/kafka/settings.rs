//! How large the story is and by which clocks it runs.

use std::time::Duration;

use serde::Serialize;

/// What a person may choose.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// How many records are sent before the end marker, in all.
    pub records: u64,
    /// Kubernetes' own periods and the operator's own windows, instead of shortened ones.
    pub realistic: bool,
}

impl Settings {
    /// How often the autoscaler looks.
    pub fn autoscaler_period(&self) -> Duration {
        Duration::from_secs(if self.realistic { 15 } else { 2 })
    }

    /// How often the metrics adapter looks for new metrics: the real one's 10 minutes would be most of the story.
    pub fn adapter_relist(&self) -> Duration {
        Duration::from_secs(if self.realistic { 60 } else { 2 })
    }

    /// How long the load may take from the first record to one consumer again.
    pub fn patience(&self) -> Duration {
        let work = Duration::from_millis(self.records * 10);
        work + Duration::from_secs(if self.realistic { 1800 } else { 240 })
    }
}
