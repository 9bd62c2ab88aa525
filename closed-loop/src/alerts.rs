//! The alerts over the story's time, as Prometheus' own API tells them.

use std::sync::Arc;
use std::time::Duration;

use crate::{AlertState, Monitoring};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::clock::Clock;

const EVERY: Duration = Duration::from_millis(500);

/// A time during which an alert was in one state.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub alert: String,
    pub state: AlertState,
    pub from: f64,
    /// When it was seen no longer; none while it lasts.
    pub to: Option<f64>,
}

/// The asking; it ends with this value.
#[derive(Debug)]
pub struct Alerts {
    spans: Arc<Mutex<Vec<Span>>>,
    _tasks: JoinSet<()>,
}

impl Alerts {
    /// Begins to ask.
    pub fn watch(monitoring: Monitoring, clock: Clock) -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let spans = Arc::clone(&spans);
            async move {
                loop {
                    // Prometheus starting up, or busy: the next answer comes soon.
                    if let Ok(alerts) = monitoring.alerts().await {
                        let seen: Vec<_> =
                            alerts.into_iter().map(|alert| (alert.name, alert.state)).collect();
                        note(&mut spans.lock(), &seen, clock.now());
                    }
                    tokio::time::sleep(EVERY).await;
                }
            }
        });
        Self { spans, _tasks: tasks }
    }

    /// All that was seen so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }
}

fn note(spans: &mut Vec<Span>, seen: &[(String, AlertState)], at: f64) {
    for span in spans.iter_mut().filter(|span| span.to.is_none()) {
        if !seen.iter().any(|(alert, state)| (alert, *state) == (&span.alert, span.state)) {
            span.to = Some(at);
        }
    }
    for (alert, state) in seen {
        let lasts = |span: &Span| span.to.is_none() && (&span.alert, span.state) == (alert, *state);
        if !spans.iter().any(lasts) {
            spans.push(Span { alert: alert.clone(), state: *state, from: at, to: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_fires_ends_its_pending_time_and_is_seen_until_it_resolves() {
        let (mut spans, lag) = (Vec::new(), |state| vec![("Lag".to_owned(), state)]);
        note(&mut spans, &lag(AlertState::Pending), 1.0);
        note(&mut spans, &lag(AlertState::Pending), 2.0);
        note(&mut spans, &lag(AlertState::Firing), 3.0);
        note(&mut spans, &[], 4.0);
        let times: Vec<_> = spans.iter().map(|span| (span.state, span.from, span.to)).collect();
        assert_eq!(times, [(AlertState::Pending, 1.0, Some(3.0)), (AlertState::Firing, 3.0, Some(4.0))]);
    }
}
