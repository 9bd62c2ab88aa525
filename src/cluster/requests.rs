//! The requests that the controller makes, each under its deadline and named for the sentence that tells its
//! failure. Objects stay JSON: their kinds differ, and nothing of them is kept.

use kcg_api::names;
use kcg_runtime::client::{RequestError, with_deadline};
use kcg_runtime::discovery::OptionalKind;
use kcg_runtime::watch::ObjectKey;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, Request};
use kube::core::{ApiResource, Resource as _};
use serde_json::{Value, json};

use kcg_core::children::ChildKind;

/// Who scales a fresh Deployment once: apart from the manager of the applies, which never owns the count.
const SCALE_MANAGER: &str = "kconsumer-group-operator-scale";
/// Who sets back a list's key that somebody changed, before the apply that takes the list over again.
const RESET_MANAGER: &str = "kconsumer-group-operator-reset";

/// The client, and what is asked of it.
#[derive(Clone)]
pub struct Requests {
    client: Client,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Requests")
    }
}

impl Requests {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The live object, past every cache.
    pub async fn get(&self, kind: ChildKind, key: &ObjectKey) -> Result<Option<Value>, RequestError> {
        let request = children(kind, key).get(key.name(), &kube::api::GetParams::default());
        match self.send(&format!("get {} {key}", kind.kind()), request).await {
            Ok(live) => Ok(Some(live)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply of a whole child; `force` takes back fields that others took.
    pub async fn apply(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        object: &Value,
        force: bool,
    ) -> Result<Value, RequestError> {
        let parameters = PatchParams { force, ..PatchParams::apply(names::OPERATOR) };
        let request = children(kind, key).patch(key.name(), &parameters, &Patch::Apply(object));
        self.send(&format!("apply {} {key}", kind.kind()), request).await
    }

    /// Changes single values of a child in place, where an apply alone cannot.
    pub async fn reset(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        patch: json_patch::Patch,
    ) -> Result<Value, RequestError> {
        let parameters =
            PatchParams { field_manager: Some(RESET_MANAGER.to_owned()), ..PatchParams::default() };
        let request = children(kind, key).patch(key.name(), &parameters, &Patch::<Value>::Json(patch));
        self.send(&format!("reset {} {key}", kind.kind()), request).await
    }

    /// Deletes the object of this very uid.
    pub async fn delete(&self, kind: ChildKind, key: &ObjectKey, uid: &str) -> Result<(), RequestError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
        let parameters = DeleteParams::background().preconditions(preconditions);
        let request = children(kind, key).delete(key.name(), &parameters);
        self.send(&format!("delete {} {key}", kind.kind()), request).await.map(drop)
    }

    /// Sets the count of a fresh Deployment, which is the autoscaler's from then on.
    pub async fn scale(&self, key: &ObjectKey, replicas: i32) -> Result<(), RequestError> {
        let parameters =
            PatchParams { field_manager: Some(SCALE_MANAGER.to_owned()), ..PatchParams::default() };
        let scale = json!({"spec": {"replicas": replicas}});
        let request = children(ChildKind::Deployment, key).patch_subresource(
            "scale",
            key.name(),
            &parameters,
            &Patch::Merge(scale),
        );
        self.send(&format!("scale Deployment {key}"), request).await.map(drop)
    }

    /// Writes a group's status whole.
    pub async fn apply_status(&self, key: &ObjectKey, object: &Value) -> Result<Value, RequestError> {
        let parameters = PatchParams::apply(names::STATUS_MANAGER).force();
        let request = groups(key).patch_subresource("status", key.name(), &parameters, &Patch::Apply(object));
        self.send(&format!("write the status of {} {key}", names::KIND), request).await
    }

    async fn send(
        &self,
        what: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, RequestError> {
        with_deadline(what, async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.request::<Value>(request).await
        })
        .await
    }
}

/// The API server's name for a kind of child.
pub(super) fn resource(kind: ChildKind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.version().to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// The same for discovery, for a kind that the cluster may lack.
pub(crate) fn optional_kind(kind: ChildKind) -> OptionalKind {
    OptionalKind::new(kind.group(), kind.kind(), &[kind.version()])
}

fn children(kind: ChildKind, key: &ObjectKey) -> Request {
    Request::new(DynamicObject::url_path(&resource(kind), Some(key.namespace())))
}

fn groups(key: &ObjectKey) -> Request {
    Request::new(kcg_api::KconsumerGroup::url_path(&(), Some(key.namespace())))
}
