//! The results of a run: its timeline and its metrics, from which the report is drawn.

use serde::Serialize;

use crate::metrics::{GroupMetrics, RunMetrics};
use crate::timeline::{GroupTimeline, Timeline};

/// The results of one run. figures.json holds all but the timeline.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// The report's heading.
    pub title: String,
    /// The observations, second by second.
    #[serde(skip)]
    pub timeline: Timeline,
    /// The metrics computed from the timeline.
    #[serde(rename = "figures")]
    pub metrics: RunMetrics,
    /// The settings of the user: names and values.
    pub settings: Vec<(String, String)>,
}

impl Results {
    /// The groups that have both a timeline and metrics.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupTimeline, &GroupMetrics)> {
        let metrics =
            |group: &GroupTimeline| self.metrics.groups.iter().find(|metrics| metrics.name == group.name);
        self.timeline.groups.iter().filter_map(move |group| Some((group, metrics(group)?)))
    }
}
