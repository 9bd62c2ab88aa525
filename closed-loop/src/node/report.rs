//! What a pod's task tells the API server: the pod's status, and an event for each trouble.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::status::{Facts, State, Transition, status};

/// A write that failed is tried again so much later.
const RETRY: Duration = Duration::from_millis(500);
/// An API server that does not answer must not keep a pod's task from its program.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// One pod's.
pub(super) struct Report {
    pods: Api<Pod>,
    recorder: Recorder,
    name: String,
    reference: ObjectReference,
    written: Option<Value>,
    /// The trouble that the last event was about.
    complained: Option<String>,
    not_before: Instant,
}

impl Report {
    pub fn new(client: Client, recorder: Recorder, pod: &Pod) -> Self {
        Self {
            pods: Api::namespaced(client, &pod.namespace().unwrap_or_default()),
            recorder,
            name: pod.name_any(),
            reference: pod.object_ref(&()),
            written: None,
            complained: None,
            not_before: Instant::now(),
        }
    }

    /// Writes the status where it says something new; a write that fails is made up for by a later call.
    pub async fn tell(&mut self, facts: &Facts) {
        let new = status(facts, &self.transitions(), Timestamp::now());
        if self.written.as_ref() == Some(&new) || Instant::now() < self.not_before {
            return;
        }
        if let State::Waiting { reason, message } = &facts.state
            && !message.is_empty()
            && self.complained.as_ref() != Some(message)
        {
            self.complained = Some(message.clone());
            self.event(event_reason(reason), message.clone()).await;
        }
        // The uid: another pod of this name is not meant.
        let patch = json!({"metadata": {"uid": self.reference.uid}, "status": new});
        let (parameters, patch) = (PatchParams::default(), Patch::Strategic(patch));
        match timeout(ANSWER_LIMIT, self.pods.patch_status(&self.name, &parameters, &patch)).await {
            Ok(Ok(_)) => self.written = Some(new),
            Ok(Err(_)) | Err(_) => self.not_before = Instant::now() + RETRY,
        }
    }

    /// A warning, as `kubectl describe pod` and `kubectl get events` show it.
    pub async fn event(&self, reason: &str, note: String) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note),
            action: reason.to_owned(),
            secondary: None,
        };
        // One that is lost is lost, as a kubelet's.
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

/// The event's reason that a kubelet has for a container that waits.
fn event_reason(waiting: &str) -> &'static str {
    match waiting {
        "ContainerCreating" => "FailedMount",
        "CrashLoopBackOff" => "BackOff",
        _ => "Failed",
    }
}
