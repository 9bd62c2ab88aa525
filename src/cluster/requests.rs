//! The requests about groups and their children, each with a deadline, a bound of its response, and a
//! name for its error message. Children stay JSON: their kinds differ, and they are not kept.

use json_patch::jsonptr::PointerBuf;
use json_patch::{PatchOperation, ReplaceOperation};
use kcg_api::names;
use kcg_core::children::ChildKind;
use kcg_core::facts::project;
use kcg_core::plan::Target;
use kcg_runtime::client::{MAX_OBJECT, RequestError, send_bounded};
use kcg_runtime::discovery::OptionalKind;
use kcg_runtime::watch::ObjectKey;
use kube::Client;
use kube::api::{
    DeleteParams, DynamicObject, GetParams, Patch, PatchParams, PostParams, Preconditions, Request,
};
use kube::core::{ApiResource, Resource as _};
use serde_json::{Value, json};

use super::stored_group::StoredGroup;

/// The field managers of changes of managedFields. They own no field.
const TAKEOVER_MANAGER: &str = "kconsumer-group-operator-takeover";
const CREATION_MANAGER: &str = "kconsumer-group-operator-end-creation";

/// Sends the requests.
#[derive(Clone)]
pub(super) struct ChildRequests {
    client: Client,
}

impl std::fmt::Debug for ChildRequests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ChildRequests")
    }
}

impl ChildRequests {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The live object, not a cached one.
    pub(super) async fn get(&self, kind: ChildKind, key: &ObjectKey) -> Result<Option<Value>, RequestError> {
        let request = children(kind, key).get(key.name(), &GetParams::default());
        existing(self.send(format!("get {} {key}", kind.kind()), request, project::read).await)
    }

    /// The live group.
    pub(super) async fn get_group(&self, key: &ObjectKey) -> Result<Option<StoredGroup>, RequestError> {
        let request = groups(key).get(key.name(), &GetParams::default());
        existing(self.send(format!("get {} {key}", names::KIND), request, StoredGroup::read).await)
    }

    /// Creates a child as this field manager. Refused if an object of its name exists, or if the cluster
    /// does not know one of its fields, which it would drop without a word otherwise.
    pub(super) async fn create(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        object: &Value,
        manager: String,
    ) -> Result<Value, RequestError> {
        let parameters = PostParams { field_manager: Some(manager), ..PostParams::default() };
        let body = serde_json::to_vec(object).expect("invariant: a JSON value serializes");
        let request = children(kind, key).create(&parameters, body).map(validated_strictly);
        self.send(format!("create {} {key}", kind.kind()), request, project::read).await
    }

    /// Server-side apply of a whole child that exists. It takes over fields of other managers. A conflict
    /// if the child has changed, or is another one.
    pub(super) async fn apply(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        target: &Target,
        desired: &Value,
    ) -> Result<Value, RequestError> {
        let mut object = desired.clone();
        object["metadata"]["uid"] = json!(target.uid);
        if target.version > 0 {
            object["metadata"]["resourceVersion"] = json!(target.version.to_string());
        }
        let parameters = PatchParams::apply(names::OPERATOR).force();
        let request = children(kind, key).patch(key.name(), &parameters, &Patch::Apply(&object));
        self.send(format!("apply {} {key}", kind.kind()), request, project::read).await
    }

    /// Changes which manager owns which field of a child, and nothing else. Returns its new
    /// resourceVersion. A conflict if the child has changed since it had this one.
    pub(super) async fn set_managed_fields(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        version: u64,
        managed_fields: Value,
    ) -> Result<u64, RequestError> {
        let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": managed_fields}]);
        self.patch_managed_fields(kind, key, version, patch, TAKEOVER_MANAGER).await
    }

    /// Ends the creation of a child by this JSON patch of managedFields. Returns its new resourceVersion. A
    /// conflict as for [`Self::set_managed_fields`]; 422 if one of its tests fails.
    pub(super) async fn end_creation(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        version: u64,
        patch: Value,
    ) -> Result<u64, RequestError> {
        self.patch_managed_fields(kind, key, version, patch, CREATION_MANAGER).await
    }

    async fn patch_managed_fields(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        version: u64,
        patch: Value,
        manager: &str,
    ) -> Result<u64, RequestError> {
        let mut patch: json_patch::Patch =
            serde_json::from_value(patch).expect("invariant: these are JSON patch operations");
        if version > 0 {
            let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
            let value = json!(version.to_string());
            patch.0.push(PatchOperation::Replace(ReplaceOperation { path, value }));
        }
        let parameters = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let request = children(kind, key).patch(key.name(), &parameters, &Patch::<Value>::Json(patch));
        let what = format!("patch managedFields of {} {key}", kind.kind());
        self.send(what, request, |text| Ok(project::version(&project::read(text)?))).await
    }

    /// Deletes the object with this uid only. A conflict as for [`Self::set_managed_fields`].
    pub(super) async fn delete(
        &self,
        kind: ChildKind,
        key: &ObjectKey,
        uid: &str,
        version: u64,
    ) -> Result<(), RequestError> {
        let resource_version = (version > 0).then(|| version.to_string());
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version };
        let parameters = DeleteParams::background().preconditions(preconditions);
        let request = children(kind, key).delete(key.name(), &parameters);
        self.send(format!("delete {} {key}", kind.kind()), request, ignored).await
    }

    /// Applies the whole status of a group.
    pub(super) async fn apply_status(
        &self,
        key: &ObjectKey,
        object: &Value,
    ) -> Result<StoredGroup, RequestError> {
        let parameters = PatchParams::apply(names::STATUS_MANAGER).force();
        let request = groups(key).patch_subresource("status", key.name(), &parameters, &Patch::Apply(object));
        self.send(format!("write the status of {} {key}", names::KIND), request, StoredGroup::read).await
    }

    /// Returns what `read` makes of the response.
    async fn send<T>(
        &self,
        what: String,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, RequestError> {
        let request = request.map_err(kube::Error::BuildRequest);
        let body = send_bounded(&self.client, what.clone(), request, MAX_OBJECT).await?;
        let text = str::from_utf8(&body).map_err(|error| error.to_string());
        text.and_then(read).map_err(|reason| RequestError::Unreadable { what, reason })
    }
}

fn existing<T>(found: Result<T, RequestError>) -> Result<Option<T>, RequestError> {
    match found {
        Ok(live) => Ok(Some(live)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a response that says nothing new.
#[allow(clippy::unnecessary_wraps, reason = "one of several ways to read a response")]
fn ignored(_: &str) -> Result<(), String> {
    Ok(())
}

/// Makes an unknown field an error. kube's parameters of a creation lack this one.
fn validated_strictly(mut creation: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let uri = format!("{}&fieldValidation=Strict", creation.uri());
    *creation.uri_mut() = uri.parse().expect("invariant: one more parameter leaves it a URI");
    creation
}

/// A kind of child as API resource.
pub(super) fn resource(kind: ChildKind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.version().to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// [`resource`] for discovery, of a kind that the cluster may lack.
pub(crate) fn optional_kind(kind: ChildKind) -> OptionalKind {
    OptionalKind::new(kind.group(), kind.kind(), &[kind.version()])
}

fn children(kind: ChildKind, key: &ObjectKey) -> Request {
    Request::new(DynamicObject::url_path(&resource(kind), Some(key.namespace())))
}

fn groups(key: &ObjectKey) -> Request {
    Request::new(kcg_api::KconsumerGroup::url_path(&(), Some(key.namespace())))
}
