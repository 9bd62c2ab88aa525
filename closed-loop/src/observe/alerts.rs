//! The alerts over the time of a run, from Prometheus' API.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::clock::Clock;
use crate::monitoring::{AlertState, Monitoring};

const INTERVAL: Duration = Duration::from_millis(500);

/// A time during which an alert was in one state.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The alert's name.
    pub alert: String,
    /// The group that it is about; empty for alerts about something else.
    pub group: String,
    /// Its state during this time.
    pub state: AlertState,
    /// When it was first seen, in seconds.
    pub from: f64,
    /// When it was seen no longer; none while it lasts.
    pub to: Option<f64>,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// The alert's name.
    pub name: String,
    /// Whether it fires; otherwise it is pending.
    pub firing: bool,
}

/// The label with the name of the group.
pub const GROUP_LABEL: &str = "kconsumergroup";

/// An alert's name, its group and its state.
type Seen = (String, String, AlertState);

/// Polls Prometheus until it is dropped.
#[derive(Debug)]
pub struct AlertLog {
    spans: Arc<Mutex<Vec<Span>>>,
    _tasks: JoinSet<()>,
}

impl AlertLog {
    /// Begins to poll.
    pub fn poll(monitoring: Monitoring, clock: Clock) -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let spans = Arc::clone(&spans);
            async move {
                loop {
                    // An error while Prometheus starts or is busy does no harm: the next answer
                    // follows soon.
                    if let Ok(alerts) = monitoring.alerts().await {
                        let seen: Vec<Seen> = alerts
                            .into_iter()
                            .map(|mut alert| {
                                let group = alert.labels.remove(GROUP_LABEL).unwrap_or_default();
                                (alert.name, group, alert.state)
                            })
                            .collect();
                        record(&mut spans.lock(), &seen, clock.now());
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        });
        Self { spans, _tasks: tasks }
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    /// The alerts of a group that are pending or firing now.
    pub fn open(&self, group: &str) -> Vec<OpenAlert> {
        let open = self.spans().into_iter().filter(|span| span.to.is_none() && span.group == group);
        open.map(|span| OpenAlert { name: span.alert, firing: span.state == AlertState::Firing }).collect()
    }
}

fn record(spans: &mut Vec<Span>, seen: &[Seen], at: f64) {
    let is = |span: &Span, (alert, group, state): &Seen| {
        (&span.alert, &span.group, span.state) == (alert, group, *state)
    };
    for span in spans.iter_mut().filter(|span| span.to.is_none()) {
        if !seen.iter().any(|one| is(span, one)) {
            span.to = Some(at);
        }
    }
    for one in seen {
        if !spans.iter().any(|span| span.to.is_none() && is(span, one)) {
            let (alert, group, state) = one.clone();
            spans.push(Span { alert, group, state, from: at, to: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_fires_ends_its_pending_time_and_lasts_until_it_resolves() {
        let lag = |state| vec![("Lag".to_owned(), "orders".to_owned(), state)];
        let mut spans = Vec::new();
        record(&mut spans, &lag(AlertState::Pending), 1.0);
        record(&mut spans, &lag(AlertState::Pending), 2.0);
        record(&mut spans, &lag(AlertState::Firing), 3.0);
        record(&mut spans, &[], 4.0);
        let times: Vec<_> = spans.iter().map(|span| (span.state, span.from, span.to)).collect();
        assert_eq!(times, [(AlertState::Pending, 1.0, Some(3.0)), (AlertState::Firing, 3.0, Some(4.0))]);
    }
}
