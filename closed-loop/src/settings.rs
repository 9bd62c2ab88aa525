//! How large a run is, which scenario it has, and which periods it uses.

use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;

use crate::consumer::Consumer;
use crate::text::count;

/// The operator's namespace, as it is shipped; its Lease has the same name.
pub const OPERATOR_NAMESPACE: &str = "kconsumer-group-operator";
/// The namespace of the scenarios' groups.
pub const NAMESPACE: &str = "default";
/// The limit for something that usually takes seconds, on a busy computer.
pub const SHORT_LIMIT: Duration = Duration::from_mins(2);
/// The number of groups in [`Scenario::Scale`].
pub const SCALE_GROUPS: u64 = 10;
/// The number of topics that each of these groups consumes.
pub const SCALE_TOPICS: u32 = 2;
/// The number of topics of all these groups.
pub const SCALE_ALL_TOPICS: u64 = SCALE_GROUPS * SCALE_TOPICS as u64;

/// The scenarios to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scenario {
    /// One group on one topic.
    Single,
    /// Two groups under the same load: one with Kubernetes' defaults, one with the operator's.
    Comparison,
    /// Ten groups on twenty topics.
    Scale,
}

/// The settings of the user.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The scenario to run.
    pub scenario: Scenario,
    /// The consumer of [`Scenario::Single`].
    pub consumer: Consumer,
    /// Afterwards, let a group of each of the other consumers scale out and in.
    pub rounds: bool,
    /// How many records are sent before an end marker. A comparison sends twice as many to each
    /// group, the scale scenario twice as many to all topics together.
    pub records: u64,
    /// Kubernetes' own periods and the operator's own windows, instead of shortened ones.
    pub realistic: bool,
}

impl Settings {
    /// The averageRecordsLagLimit of a group: a tenth of what is sent, as in the original's demo.
    pub fn limit(&self) -> u64 {
        (self.records / 10).max(1)
    }

    /// How many records each topic gets before its end marker.
    pub fn records_by_topic(&self) -> u64 {
        match self.scenario {
            Scenario::Single => self.records,
            Scenario::Comparison => self.records * 2,
            Scenario::Scale => self.records * 2 / SCALE_ALL_TOPICS,
        }
    }

    /// The consumers that have a round after the scenario.
    pub fn other_consumers(&self) -> Vec<Consumer> {
        let all = if self.rounds { Consumer::value_variants() } else { &[] };
        all.iter().copied().filter(|consumer| *consumer != self.consumer).collect()
    }

    /// The consumers whose groups run.
    pub fn consumers(&self) -> Vec<Consumer> {
        [self.consumer].into_iter().chain(self.other_consumers()).collect()
    }

    /// The report's table of settings: names and values.
    pub fn rows(&self) -> Vec<(String, String)> {
        let windows = if self.realistic { "Kubernetes' and the operator's own" } else { "shortened" };
        let period = format!("{} s", self.autoscaler_period().as_secs());
        let rows = [
            ("records to each topic", count(self.records_by_topic())),
            ("consumer", self.consumer.description().to_owned()),
            ("windows", windows.to_owned()),
            ("autoscaler's sync period", period),
        ];
        rows.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The autoscaler's sync period.
    pub fn autoscaler_period(&self) -> Duration {
        Duration::from_secs(if self.realistic { 15 } else { 2 })
    }

    /// How often the metrics adapter looks for new metrics. The real one's 10 minutes would be most
    /// of a run.
    pub fn adapter_relist(&self) -> Duration {
        Duration::from_secs(if self.realistic { 60 } else { 2 })
    }

    /// The limit from the first record to one consumer again. The work of the busiest group is 10
    /// ms a record.
    pub fn load_limit(&self) -> Duration {
        let work = Duration::from_millis(self.records * 2 * 10);
        work + Duration::from_secs(if self.realistic { 1800 } else { 240 })
    }
}
