//! How large the story is and by which clocks it runs.

use std::time::Duration;

use serde::Serialize;

use super::figures::count;
use super::scale;

/// Which story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// One group on one topic.
    One,
    /// Two groups under the same load, by Kubernetes' defaults and by the operator's.
    Comparison,
    /// Ten groups on twenty topics.
    Scale,
}

/// What a person may choose.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    pub which: Which,
    /// How many records are sent before an end marker: to the one topic, or of what the other two stories send, which is
    /// twice as much to each group of a comparison, and twice as much to all topics together at scale.
    pub records: u64,
    /// Kubernetes' own periods and the operator's own windows, instead of shortened ones.
    pub realistic: bool,
}

impl Settings {
    /// The lag that the group may have: a tenth of what is sent, as the original's story had it.
    pub fn limit(&self) -> u64 {
        (self.records / 10).max(1)
    }

    /// How many records each topic gets before its end marker.
    pub fn records_by_topic(&self) -> u64 {
        match self.which {
            Which::One => self.records,
            Which::Comparison => self.records * 2,
            Which::Scale => self.records * 2 / scale::ALL_TOPICS,
        }
    }

    /// What was chosen, for the report.
    pub fn told(&self) -> Vec<(String, String)> {
        let windows = if self.realistic { "Kubernetes' and the operator's own" } else { "shortened" };
        let period = format!("{} s", self.autoscaler_period().as_secs());
        let told = [
            ("records to each topic", count(self.records_by_topic())),
            ("windows", windows.to_owned()),
            ("the autoscaler looks each", period),
        ];
        told.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// How often the autoscaler looks.
    pub fn autoscaler_period(&self) -> Duration {
        Duration::from_secs(if self.realistic { 15 } else { 2 })
    }

    /// How often the metrics adapter looks for new metrics: the real one's 10 minutes would be most of the story.
    pub fn adapter_relist(&self) -> Duration {
        Duration::from_secs(if self.realistic { 60 } else { 2 })
    }

    /// How long the load may take from the first record to one consumer again; its work is 10 ms a record, and of the
    /// busiest group.
    pub fn patience(&self) -> Duration {
        let work = Duration::from_millis(self.records * 2 * 10);
        work + Duration::from_secs(if self.realistic { 1800 } else { 240 })
    }
}
