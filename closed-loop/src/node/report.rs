//! Writes a pod's status, and an event for each problem.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::status::{Facts, State, Transition, status};

/// The delay after a failed write.
const RETRY: Duration = Duration::from_millis(500);
/// A limit, so that a pod's task goes on if the API server does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Reports one pod.
pub(super) struct StatusReporter {
    pods: Api<Pod>,
    recorder: Recorder,
    name: String,
    reference: ObjectReference,
    written: Option<Value>,
    /// The message of the last event.
    last_event: Option<String>,
    not_before: Instant,
}

impl StatusReporter {
    pub(super) fn new(client: Client, recorder: Recorder, pod: &Pod) -> Self {
        Self {
            pods: Api::namespaced(client, &pod.namespace().unwrap_or_default()),
            recorder,
            name: pod.name_any(),
            reference: pod.object_ref(&()),
            written: None,
            last_event: None,
            not_before: Instant::now(),
        }
    }

    /// Writes the status if it has changed. After a failed write a later call tries again.
    pub(super) async fn report(&mut self, facts: &Facts) {
        let new = status(facts, &self.transitions(), Timestamp::now());
        if self.written.as_ref() == Some(&new) || Instant::now() < self.not_before {
            return;
        }
        if let State::Waiting { reason, message } = &facts.state
            && !message.is_empty()
            && self.last_event.as_ref() != Some(message)
        {
            self.last_event = Some(message.clone());
            self.event(event_reason(reason), message.clone()).await;
        }
        // With the uid the write fails if another pod has this name.
        let patch = json!({"metadata": {"uid": self.reference.uid}, "status": new});
        let (parameters, patch) = (PatchParams::default(), Patch::Strategic(patch));
        match timeout(ANSWER_LIMIT, self.pods.patch_status(&self.name, &parameters, &patch)).await {
            Ok(Ok(_)) => self.written = Some(new),
            Ok(Err(_)) | Err(_) => self.not_before = Instant::now() + RETRY,
        }
    }

    /// Publishes a warning, which `kubectl describe pod` and `kubectl get events` show.
    pub(super) async fn event(&self, reason: &str, note: String) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note),
            action: reason.to_owned(),
            secondary: None,
        };
        // A lost event is not published again, as in a kubelet.
        let _ = timeout(ANSWER_LIMIT, self.recorder.publish(&event, &self.reference)).await;
    }

    fn transitions(&self) -> Vec<Transition> {
        let conditions = self.written.iter().filter_map(|status| status["conditions"].as_array()).flatten();
        conditions
            .map(|condition| {
                let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
                Transition { type_: text("type"), status: text("status"), since: text("lastTransitionTime") }
            })
            .collect()
    }
}

/// The kubelet's event reason for a waiting container.
fn event_reason(waiting: &str) -> &'static str {
    match waiting {
        "ContainerCreating" => "FailedMount",
        "CrashLoopBackOff" => "BackOff",
        _ => "Failed",
    }
}
