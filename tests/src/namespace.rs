//! The namespace of one test: what a test does in it and waits for in it.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kcg_devcluster::audit::AuditLog;
use kcg_devcluster::{ControlPlane, Kubectl, KubectlOutput};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::audit::NamespaceAudit;
use crate::env::LIMIT;
use crate::objects::{self, AUTOSCALER, CHILDREN, GROUP, Kind, QUOTA, SERVICE, TOPIC, group, topic};

/// The field manager of what a test does as a third party.
const THIRD_PARTY: &str = "third-party";

/// One namespace of a control plane.
#[derive(Clone)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    client: Client,
    kubectl: Kubectl,
    audit: Option<AuditLog>,
    limit: Duration,
}

impl Namespace {
    /// A namespace that exists.
    pub fn new(plane: &ControlPlane, client: &Client, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: client.clone(),
            kubectl: plane.kubectl_command().clone(),
            audit: plane.audit_log().ok(),
            limit: LIMIT,
        }
    }

    /// Creates a namespace, if it does not exist.
    pub async fn create(plane: &ControlPlane, client: &Client, name: &str) -> Result<Self> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        plane.apply_yaml(&object.to_string()).await?;
        Ok(Self::new(plane, client, name))
    }

    /// The same namespace with another limit for its waits.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Creates an object with kubectl, and returns what kubectl printed.
    pub async fn kubectl_create(&self, object: &Value) -> Result<KubectlOutput> {
        self.kubectl_with(&["create", "-f", "-"], &object.to_string()).await
    }

    /// Its objects of a kind.
    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &kind.resource())
    }

    /// Creates an object; returns it as it was stored.
    pub async fn create_object(&self, kind: Kind, object: &Value) -> Result<Value> {
        let object = serde_json::from_value(object.clone())?;
        let params = PostParams { field_manager: Some(THIRD_PARTY.into()), ..PostParams::default() };
        let created = self.api(kind).create(&params, &object).await;
        let created = created.with_context(|| format!("create a {} in {}", kind.name, self.name))?;
        Ok(serde_json::to_value(created)?)
    }

    /// Creates the shortest group with `spec` merged into its spec.
    pub async fn create_group(&self, name: &str, spec: &Value) -> Result<Value> {
        self.create_object(GROUP, &group(name, spec)).await
    }

    /// Creates a ResourceQuota, and waits until the controller manager has counted it: the API server
    /// does not enforce it before.
    pub async fn create_quota(&self, name: &str, hard: &Value) -> Result<()> {
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard},
        });
        self.create_object(QUOTA, &quota).await?;
        self.eventually(QUOTA, name, "it is counted", |quota| !quota["status"]["hard"].is_null()).await?;
        Ok(())
    }

    /// Creates a KafkaTopic.
    pub async fn create_topic(&self, name: &str, partitions: i64) -> Result<Value> {
        let object = topic(name, &json!({"partitions": partitions, "replicas": 1}));
        self.create_object(TOPIC, &object).await
    }

    /// Applies a merge patch.
    pub async fn patch(&self, kind: Kind, name: &str, patch: &Value) -> Result<Value> {
        let params = as_third_party();
        let patched = self.api(kind).patch(name, &params, &Patch::Merge(patch)).await;
        Ok(serde_json::to_value(patched.with_context(|| format!("patch {} {name}", kind.name))?)?)
    }

    /// Applies a JSON patch (RFC 6902).
    pub async fn json_patch(&self, kind: Kind, name: &str, operations: &Value) -> Result<Value> {
        let params = as_third_party();
        let patch: json_patch::Patch = serde_json::from_value(operations.clone())?;
        let patched = self.api(kind).patch(name, &params, &Patch::Json::<()>(patch)).await;
        let patched = patched.with_context(|| format!("patch {} {name} by {operations}", kind.name))?;
        Ok(serde_json::to_value(patched)?)
    }

    /// Applies a merge patch to the status.
    pub async fn patch_status(&self, kind: Kind, name: &str, status: &Value) -> Result<Value> {
        let params = as_third_party();
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self.api(kind).patch_status(name, &params, &patch).await;
        Ok(serde_json::to_value(
            patched.with_context(|| format!("patch the status of {} {name}", kind.name))?,
        )?)
    }

    /// Deletes an object.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted.map(drop).with_context(|| format!("delete {} {name}", kind.name))
    }

    /// Reads an object.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        let object = self.api(kind).get(name).await.with_context(|| format!("get {} {name}", kind.name))?;
        Ok(serde_json::to_value(object)?)
    }

    /// Reads all objects of a kind.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let list = self
            .api(kind)
            .list(&ListParams::default())
            .await
            .with_context(|| format!("list {}", kind.plural))?;
        list.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Waits until the object exists and `holds`. It is watched, not polled.
    pub async fn eventually(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.watch_until(kind, name, what, |seen| seen.is_some_and(&holds)).await
    }

    /// Waits until the object exists.
    pub async fn exists(&self, kind: Kind, name: &str) -> Result<Value> {
        self.eventually(kind, name, "it exists", |_| true).await
    }

    /// Waits until the group's five children exist.
    pub async fn children_exist(&self, group: &str) -> Result<()> {
        for kind in CHILDREN {
            self.exists(kind, group).await?;
        }
        Ok(())
    }

    /// Waits until the object is gone.
    pub async fn eventually_gone(&self, kind: Kind, name: &str) -> Result<()> {
        self.watch_until(kind, name, "is gone", |seen| seen.is_none()).await.map(drop)
    }

    async fn watch_until(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        holds: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Value> {
        let mut seen = pin!(watcher::watch_object(self.api(kind), name).default_backoff());
        let mut last = Value::Null;
        let watching = async {
            while let Some(event) = seen.next().await {
                match event {
                    Ok(object) => last = serde_json::to_value(object)?,
                    Err(error) => {
                        last = json!(format!("{error:#}"));
                        continue;
                    }
                }
                if holds(Some(&last).filter(|last| !last.is_null())) {
                    return Ok(());
                }
            }
            bail!("the watch ended")
        };
        match tokio::time::timeout(self.limit, watching).await {
            Ok(outcome) => outcome.map(|()| last),
            Err(_) => bail!(
                "{} {}/{name}: not within {:?}: {what}; last seen: {:#}",
                kind.name,
                self.name,
                self.limit,
                without_managed_fields(last)
            ),
        }
    }

    /// Waits until the group's status is of its latest spec and `Ready` has this status and reason.
    pub async fn group_is(&self, name: &str, status: &str, reason: &str) -> Result<Value> {
        let what = format!("Ready is {status} for {reason}");
        self.eventually(GROUP, name, &what, |group| objects::is_ready(group, status, reason)).await
    }

    /// Waits until the group is ready.
    pub async fn group_is_ready(&self, name: &str) -> Result<Value> {
        self.group_is(name, "True", "Reconciled").await
    }

    /// Waits until the group's status is of its latest spec and the condition has this reason.
    pub async fn condition_is(&self, name: &str, condition: &str, reason: &str) -> Result<Value> {
        let what = format!("{condition} has reason {reason}");
        self.eventually(GROUP, name, &what, |group| {
            objects::is_observed(group) && objects::condition(group, condition)[1] == reason
        })
        .await
    }

    /// Changes a field of the group's Service that the operator owns, and waits for its repair.
    pub async fn drift_is_repaired(&self, group: &str) -> Result<()> {
        self.change_service(group).await?;
        self.service_is_repaired(group).await
    }

    /// Changes a field of the group's Service that the operator owns. Returns the Service.
    pub async fn change_service(&self, group: &str) -> Result<Value> {
        let change = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]);
        self.json_patch(SERVICE, group, &change).await
    }

    /// Waits until the change of [`Self::change_service`] is repaired.
    pub async fn service_is_repaired(&self, group: &str) -> Result<()> {
        let repaired = |service: &Value| service["spec"]["ports"][0]["targetPort"] == 8085;
        self.eventually(SERVICE, group, "it is repaired", repaired).await.map(drop)
    }

    /// Waits until the autoscaler has these bounds.
    pub async fn bounds_are(&self, name: &str, min: i64, max: i64) -> Result<Value> {
        let what = format!("its bounds are {min} and {max}");
        self.eventually(AUTOSCALER, name, &what, |seen| {
            seen["spec"]["minReplicas"] == min && seen["spec"]["maxReplicas"] == max
        })
        .await
    }

    /// The writes in this namespace from now on. The control plane must have an audit log.
    pub fn audit(&self) -> Result<NamespaceAudit> {
        NamespaceAudit::from_now(
            &self.name,
            self.audit.clone().context("the control plane has no audit log")?,
        )
    }

    /// Runs the administrator's kubectl in this namespace.
    pub async fn kubectl(&self, args: &[&str]) -> Result<KubectlOutput> {
        self.kubectl_with(args, "").await
    }

    /// The same with `input` on standard input.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> Result<KubectlOutput> {
        let args: Vec<&str> = ["--namespace", &self.name].into_iter().chain(args.iter().copied()).collect();
        Ok(self.kubectl.run_with_input(&args, input).await?)
    }

    /// Deletes the test's groups, so that they cost the other tests nothing.
    pub async fn close(self) -> Result<()> {
        let groups = self.api(GROUP);
        groups.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }
}

/// A third party whose every mistake is an error: an unknown field is refused.
fn as_third_party() -> PatchParams {
    PatchParams {
        field_manager: Some(THIRD_PARTY.into()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// The message of a refused request; panics if it was allowed.
#[track_caller]
pub fn refusal<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("the request was allowed"),
        Err(error) => format!("{error:#}"),
    }
}
