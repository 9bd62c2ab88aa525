//! Warning and Normal Events about the operator's objects.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kcg_api::names;
use kcg_core::text::{MAX_MESSAGE, bounded, one_line};
use kcg_runtime::client::with_deadline;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;

/// How many Events are kept to count their repetitions, of 4 kB each. A repetition after that many others is
/// an Event of its own.
const MAX_KEPT: u32 = 1000;

/// Records Events. Clones share one recorder, which merges repeated Events into a series.
#[derive(Clone)]
pub(crate) struct EventRecorder {
    client: Client,
    reporter: Reporter,
    /// kube's recorder, and how many Events it may still record.
    recorder: Arc<Mutex<(Recorder, u32)>>,
}

impl std::fmt::Debug for EventRecorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EventRecorder")
    }
}

impl EventRecorder {
    /// `instance` is this process's name in the Events.
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: names::OPERATOR.into(), instance: Some(instance.into()) };
        let recorder = (Recorder::new(client.clone(), reporter.clone()), MAX_KEPT);
        let recorder = Arc::new(Mutex::new(recorder));
        Self { client, reporter, recorder }
    }

    /// kube's recorder keeps each Event for six minutes, to count its repetitions, and looks through all of
    /// them at each one. A new one takes its place before they are too many.
    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock();
        if recorder.1 == 0 {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), MAX_KEPT);
        }
        recorder.1 -= 1;
        recorder.0.clone()
    }

    /// Records one Event. A failure is only logged: every Event repeats what a condition or a log
    /// line reports.
    pub(crate) async fn record(
        &self,
        regarding: &ObjectReference,
        type_: EventType,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(bounded(one_line(note, 2 * MAX_MESSAGE))),
            action: action.to_owned(),
            secondary: None,
        };
        let name = regarding.name.as_deref().unwrap_or_default();
        let what = format!("record an Event of {name}");
        if let Err(error) = with_deadline(what, self.recorder().publish(&event, regarding)).await {
            tracing::debug!(name, %error, "event was not recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_repetition_is_counted_until_too_many_events_are_kept() {
        let (created, patched) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (creations, patches) = (created.clone(), patched.clone());
        let server = service_fn(move |request: Request<Body>| {
            *(if request.method() == Method::POST { &creations } else { &patches }).lock() += 1;
            async move {
                let body = request.into_body().collect_bytes().await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(Response::new(Body::from(body.to_vec())))
            }
        });
        let events = EventRecorder::new(Client::new(server, "default"), "one");
        let group =
            ObjectReference { name: Some("g".into()), namespace: Some("ns".into()), ..Default::default() };
        for _ in 0..=MAX_KEPT {
            events.record(&group, EventType::Normal, "Pause", "Paused", "note").await;
        }
        assert_eq!((*created.lock(), *patched.lock()), (2, MAX_KEPT - 1));
    }
}
