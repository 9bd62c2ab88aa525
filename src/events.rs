//! Warning and Normal Events about the operator's objects.

use k8s_openapi::api::core::v1::ObjectReference;
use kcg_api::names;
use kcg_core::text::{MAX_MESSAGE, bounded, one_line};
use kcg_runtime::client::with_deadline;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Records Events. Clones share one recorder, which merges repeated Events into a series.
#[derive(Clone)]
pub(crate) struct EventRecorder(Recorder);

impl std::fmt::Debug for EventRecorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EventRecorder")
    }
}

impl EventRecorder {
    /// `instance` is this process's name in the Events.
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: names::OPERATOR.into(), instance: Some(instance.into()) };
        Self(Recorder::new(client, reporter))
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
        if let Err(error) = with_deadline(what, self.0.publish(&event, regarding)).await {
            tracing::debug!(name, %error, "event was not recorded");
        }
    }
}
