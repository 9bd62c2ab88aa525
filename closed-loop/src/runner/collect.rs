//! Turns what was observed into a run's results.

use anyhow::Result;

use super::Runner;
use crate::metrics::{Account, GroupMetrics, OperatorMetrics, RunMetrics, Sent};
use crate::monitoring::AlertState;
use crate::observe::broker::Subscription;
use crate::observe::cost::Side;
use crate::observe::processed_log::ProcessedLog;
use crate::observe::requests;
use crate::results::Results;
use crate::timeline::{AlertSpan, GroupTimeline, Line, Timeline};

/// The records sent to one group, and when sending began.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub group: String,
    /// In seconds of the run.
    pub at: f64,
    pub sent: Sent,
    /// The group's averageRecordsLagLimit.
    pub limit: u64,
    /// From the topic's change to the ceiling's, if the scenario changes a topic.
    pub topic_to_ceiling_ms: Option<f64>,
}

/// The values that kproducer sends for a count: `bar-1` to `bar-n`, then `baz`.
pub(crate) fn sent_values(count: u64) -> impl Iterator<Item = String> {
    (1..=count).map(|index| format!("bar-{index}")).chain(["baz".to_owned()])
}

impl Runner {
    /// The results of the groups in `loads`.
    pub(crate) fn collect(&mut self, title: &str, loads: &[Load]) -> Result<Results> {
        self.observe()?;
        let mut timeline = Timeline {
            end: self.clock.now(),
            steps: self.steps.clone(),
            marks: self.marks.clone(),
            groups: Vec::new(),
        };
        let mut metrics = RunMetrics { groups: Vec::new(), operator: Some(self.operator_metrics()?) };
        for load in loads {
            let records = self.processed.get(&load.group).map(ProcessedLog::records).unwrap_or_default();
            let account = Account::new(records, |milliseconds| self.clock.at_milliseconds(milliseconds));
            let group = self.timeline_of(load, &account);
            let measured =
                GroupMetrics::measure(&group, &account, &load.sent, load.at, load.topic_to_ceiling_ms);
            metrics.groups.push(measured);
            timeline.groups.push(group);
        }
        Ok(Results { title: title.to_owned(), timeline, metrics, settings: self.settings_rows() })
    }

    fn timeline_of(&self, load: &Load, account: &Account<'_>) -> GroupTimeline {
        let replicas = self.replicas.group(&load.group);
        let lag = self.broker.group(&load.group);
        #[allow(clippy::cast_precision_loss)] // Limits are far below 2^52.
        let limit = Some(load.limit as f64);
        GroupTimeline {
            name: load.group.clone(),
            limit,
            lag: lag.partitions.into_iter().map(|(label, points)| Line { label, points }).collect(),
            wanted: replicas.wanted,
            ready: replicas.ready,
            ceiling: replicas.ceiling,
            rebalances: self.generations.of(&load.group).to_vec(),
            throughput: account.throughput(1.0),
            sent: lag.sent,
            alerts: self.alert_spans(&load.group),
        }
    }

    fn alert_spans(&self, group: &str) -> Vec<AlertSpan> {
        let spans = self.alerts.spans().into_iter().filter(|span| span.group == group);
        spans
            .map(|span| AlertSpan {
                name: span.alert,
                firing: span.state == AlertState::Firing,
                from: span.from,
                to: span.to,
            })
            .collect()
    }

    fn operator_metrics(&self) -> Result<OperatorMetrics> {
        let events = self.environment.plane.audit_log()?.since(self.audit_start)?;
        let (requests, all_requests) = requests::count(&events);
        Ok(OperatorMetrics {
            requests,
            all_requests,
            operator: self.meter.cost(Side::Operator),
            control_plane: self.meter.cost(Side::ControlPlane),
        })
    }

    fn settings_rows(&self) -> Vec<(String, String)> {
        let mut rows = self.settings.rows();
        let subscriptions: Vec<String> = self
            .groups
            .iter()
            .map(|Subscription { group, topics }| format!("{group}: {}", topics.join(", ")))
            .collect();
        rows.push(("groups and topics".into(), subscriptions.join("; ")));
        rows
    }
}
