//! Reports a reconcile to users: the group's status, and Events.

use k8s_openapi::api::core::v1::ObjectReference;
use kcg_api::{KconsumerGroupStatus, names};
use kcg_core::status::Event;
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use kube::runtime::events::EventType;
use serde_json::json;

use super::{Affected, CachedGroup, Cluster, WriteError};

/// The action in the Events of a group.
const ACTION: &str = "Reconcile";

impl Cluster {
    /// Writes a group's status, if the group has not changed since it was observed: a write whose response
    /// was lost, or one of a process that has ended, may still arrive. Returns the groups that the response
    /// affects, or `None` if the group is gone.
    pub(crate) async fn write_status(
        &self,
        key: &ObjectKey,
        group: &CachedGroup,
        status: &KconsumerGroupStatus,
        leadership: &Leadership,
    ) -> Result<Option<Affected>, WriteError> {
        if !leadership.still_held() {
            return Err(WriteError::NotLeading);
        }
        let object = json!({
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": names::KIND,
            "metadata": {
                "name": key.name(), "namespace": key.namespace(), "uid": *group.uid,
                "resourceVersion": group.resource_version.to_string(),
            },
            "status": status,
        });
        match self.requests.apply_status(key, &object).await {
            Ok(stored) => Ok(Some(self.observe_group(key, stored, true))),
            Err(error) if error.is_not_found() => Ok(None),
            // The watch will report the newer version.
            Err(error) if error.is_conflict() => Err(WriteError::Waiting),
            Err(error) => Err(WriteError::failed(&error)),
        }
    }

    /// Records an Event of a group.
    pub(crate) async fn record(&self, key: &ObjectKey, group: &CachedGroup, event: &Event) {
        let regarding = ObjectReference {
            api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
            kind: Some(names::KIND.to_owned()),
            name: Some(key.name().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            uid: Some(group.uid.to_string()),
            ..ObjectReference::default()
        };
        let type_ = if event.is_warning { EventType::Warning } else { EventType::Normal };
        self.events.record(&regarding, type_, ACTION, event.reason, &event.note).await;
    }
}
