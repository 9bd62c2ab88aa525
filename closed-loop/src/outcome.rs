//! What a told story leaves: its timeline, its figures, and so its report.

use crate::AlertState;

use anyhow::Result;

use super::broker::Subscription;
use super::cost::Side;
use super::figures::{Account, Figures, GroupFigures, OperatorFigures, Sent};
use super::ledger::Ledger;
use super::report::Story;
use super::requests;
use super::teller::Teller;
use super::timeline::{AlertSpan, GroupTimeline, Line, Timeline};

/// What was sent to one group, and when that began.
#[derive(Clone, Debug)]
pub struct Load {
    pub group: String,
    /// In seconds of the story.
    pub at: f64,
    pub sent: Sent,
    /// The group's averageRecordsLagLimit.
    pub limit: u64,
    /// From its topic's change to its ceiling's, where that was a part of the story.
    pub topic_to_ceiling_ms: Option<f64>,
}

/// The values that kproducer sends for a count: `bar-1` to `bar-n`, then `baz`.
pub fn values(count: u64) -> impl Iterator<Item = String> {
    (1..=count).map(|index| format!("bar-{index}")).chain(["baz".to_owned()])
}

/// The story of all its groups, or of those in `loads`.
pub fn assemble(teller: &mut Teller, title: &str, loads: &[Load]) -> Result<Story> {
    teller.look()?;
    let mut timeline = Timeline {
        end: teller.clock.now(),
        chapters: teller.chapters.clone(),
        marks: teller.marks.clone(),
        groups: Vec::new(),
    };
    let mut figures = Figures { groups: Vec::new(), operator: Some(operator(teller)?) };
    for load in loads {
        let records = teller.ledgers.get(&load.group).map(Ledger::records).unwrap_or_default();
        let account = Account::new(records, |milliseconds| teller.clock.at_milliseconds(milliseconds));
        let seen = teller.watch.group(&load.group);
        let lag = teller.broker.group(&load.group);
        #[allow(clippy::cast_precision_loss)] // A limit of a story.
        let limit = Some(load.limit as f64);
        let group = GroupTimeline {
            name: load.group.clone(),
            limit,
            lag: lag.partitions.into_iter().map(|(label, points)| Line { label, points }).collect(),
            wanted: seen.wanted,
            ready: seen.ready,
            ceiling: seen.ceiling,
            rebalances: teller.generations.of(&load.group).to_vec(),
            throughput: account.throughput(1.0),
            sent: lag.sent,
            alerts: alerts(teller, &load.group),
        };
        let measured = GroupFigures::measure(&group, &account, &load.sent, load.at, load.topic_to_ceiling_ms);
        figures.groups.push(measured);
        timeline.groups.push(group);
    }
    Ok(Story { title: title.to_owned(), timeline, figures, settings: settings(teller) })
}

fn alerts(teller: &Teller, group: &str) -> Vec<AlertSpan> {
    let own = teller.alerts.spans().into_iter().filter(|span| span.alert.ends_with(&format!("-{group}")));
    own.map(|span| AlertSpan {
        name: span.alert,
        firing: span.state == AlertState::Firing,
        from: span.from,
        to: span.to,
    })
    .collect()
}

fn operator(teller: &Teller) -> Result<OperatorFigures> {
    let (requests, all_requests) = requests::count(&teller.stage.plane.audit_log()?.since(teller.begin)?);
    Ok(OperatorFigures {
        requests,
        all_requests,
        operator: teller.meter.cost(Side::Operator),
        control_plane: teller.meter.cost(Side::ControlPlane),
    })
}

fn settings(teller: &Teller) -> Vec<(String, String)> {
    let mut settings = teller.settings.told();
    let consumers: Vec<String> = teller
        .groups
        .iter()
        .map(|Subscription { group, topics }| format!("{group}: {}", topics.join(", ")))
        .collect();
    settings.push(("groups and topics".into(), consumers.join("; ")));
    settings
}
