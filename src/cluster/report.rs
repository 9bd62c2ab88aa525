//! What people are told: a group's status, and Events.

use k8s_openapi::api::core::v1::ObjectReference;
use kcg_api::{KconsumerGroupStatus, names};
use kcg_runtime::client::with_deadline;
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use kube::runtime::events::{Event, EventType};
use serde_json::json;

use super::fault::in_one_line;
use super::{Cluster, Fault, Group, Touched};
use kcg_core::status::Notice;

/// What the reconcile of a group is called in its Events.
const ACTION: &str = "Reconcile";

impl Cluster {
    /// Writes a group's status, and returns the groups that are touched by what the answer tells beside it; `None`
    /// where the group is gone meanwhile.
    pub async fn report(
        &self,
        key: &ObjectKey,
        group: &Group,
        status: &KconsumerGroupStatus,
        leadership: &Leadership,
    ) -> Result<Option<Touched>, Fault> {
        if !leadership.still_held() {
            return Err(Fault::NotLeading);
        }
        let object = json!({
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": names::KIND,
            // The uid: a group of the same name that came since has its own status.
            "metadata": {"name": key.name(), "namespace": key.namespace(), "uid": group.uid},
            "status": status,
        });
        match self.requests.apply_status(key, &object).await {
            Ok(stored) => Ok(Some(self.group_was_seen(key, &stored, true))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Fault::Failed {
                message: in_one_line(&error.to_string()),
                retry_after: error.retry_after(),
            }),
        }
    }

    /// Records one Warning. An Event that is lost is only logged: the condition says the same.
    pub async fn warn(&self, key: &ObjectKey, group: &Group, notice: &Notice) {
        let event = Event {
            type_: EventType::Warning,
            reason: notice.reason.as_str().to_owned(),
            note: Some(in_one_line(&notice.note)),
            action: ACTION.to_owned(),
            secondary: None,
        };
        let regarding = ObjectReference {
            api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
            kind: Some(names::KIND.to_owned()),
            name: Some(key.name().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            uid: Some(group.uid.to_string()),
            ..ObjectReference::default()
        };
        let recorded =
            with_deadline(format!("record an Event of {key}"), self.recorder.publish(&event, &regarding))
                .await;
        if let Err(error) = recorded {
            tracing::debug!(group = %key, %error, "an Event was not recorded");
        }
    }
}
