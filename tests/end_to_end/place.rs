//! A namespace of one test: what is done in it, and what is awaited in it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::objects::{self, AUTOSCALER, GROUP, Kind, TOPIC, group, topic};
use crate::world::World;

/// How long anything may take: a computer with two cores runs several tests at once.
pub const LIMIT: Duration = Duration::from_mins(1);
/// The field manager of what a test does as a third party.
const SOMEBODY: &str = "somebody";

/// A namespace and the world around it.
#[derive(Clone, Debug)]
pub struct Place {
    pub world: Arc<World>,
    pub namespace: String,
}

impl Place {
    /// A namespace of that name, which may be there already.
    pub async fn open(world: &Arc<World>, namespace: &str) -> Result<Self> {
        let place = Self::at(world, namespace);
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string();
        world.plane.apply_yaml(&object).await?;
        Ok(place)
    }

    /// A new namespace with the topic of the samples and a group of it that is well, both under their usual names.
    pub async fn with_a_group(world: &Arc<World>, namespace: &str) -> Result<Self> {
        let place = Self::open(world, namespace).await?;
        place.create_topic("fast-data-topic", 3).await?;
        place.create_group("kconsumer", &json!({})).await?;
        place.group_is_well("kconsumer").await?;
        Ok(place)
    }

    /// Creates an object as a person does, and returns what kubectl printed.
    pub async fn kubectl_create(&self, object: &Value) -> Result<kcg_devcluster::KubectlOutput> {
        self.kubectl_with(&["create", "-f", "-"], &object.to_string()).await
    }

    /// A namespace that is there.
    pub fn at(world: &Arc<World>, namespace: &str) -> Self {
        Self { world: world.clone(), namespace: namespace.to_owned() }
    }

    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.world.client.clone(), &self.namespace, &kind.resource())
    }

    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Value> {
        let object = serde_json::from_value(object.clone())?;
        let params = PostParams { field_manager: Some(SOMEBODY.into()), ..PostParams::default() };
        let created = self.api(kind).create(&params, &object).await;
        let created = created.with_context(|| format!("create a {} in {}", kind.name, self.namespace))?;
        Ok(serde_json::to_value(created)?)
    }

    /// A group with `spec` laid over the shortest one.
    pub async fn create_group(&self, name: &str, spec: &Value) -> Result<Value> {
        self.create(GROUP, &group(name, spec)).await
    }

    pub async fn create_topic(&self, name: &str, partitions: i64) -> Result<Value> {
        let object = topic(name, &json!({"partitions": partitions, "replicas": 1}));
        self.create(TOPIC, &object).await
    }

    /// A merge patch.
    pub async fn patch(&self, kind: Kind, name: &str, patch: &Value) -> Result<Value> {
        let params = as_somebody();
        let patched = self.api(kind).patch(name, &params, &Patch::Merge(patch)).await;
        Ok(serde_json::to_value(patched.with_context(|| format!("patch {} {name}", kind.name))?)?)
    }

    /// A JSON patch (RFC 6902).
    pub async fn edit(&self, kind: Kind, name: &str, operations: &Value) -> Result<Value> {
        let params = as_somebody();
        let patch: json_patch::Patch = serde_json::from_value(operations.clone())?;
        let patched = self.api(kind).patch(name, &params, &Patch::Json::<()>(patch)).await;
        let patched = patched.with_context(|| format!("edit {} {name} by {operations}", kind.name))?;
        Ok(serde_json::to_value(patched)?)
    }

    /// A merge patch of the status, as the object's own controller would write it.
    pub async fn report(&self, kind: Kind, name: &str, status: &Value) -> Result<Value> {
        let params = as_somebody();
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self.api(kind).patch_status(name, &params, &patch).await;
        Ok(serde_json::to_value(patched.with_context(|| format!("report on {} {name}", kind.name))?)?)
    }

    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted.map(drop).with_context(|| format!("delete {} {name}", kind.name))
    }

    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        let object = self.api(kind).get(name).await.with_context(|| format!("get {} {name}", kind.name))?;
        Ok(serde_json::to_value(object)?)
    }

    pub async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let list = self
            .api(kind)
            .list(&ListParams::default())
            .await
            .with_context(|| format!("list {}", kind.plural))?;
        list.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Waits until the object is there and `holds`; it is watched, not polled.
    pub async fn sees(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.watches(kind, name, what, |seen| seen.is_some_and(&holds)).await
    }

    /// Waits until the object is gone.
    pub async fn loses(&self, kind: Kind, name: &str) -> Result<()> {
        self.watches(kind, name, "is gone", |seen| seen.is_none()).await.map(drop)
    }

    async fn watches(
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
        match tokio::time::timeout(LIMIT, watching).await {
            Ok(outcome) => outcome.map(|()| last),
            Err(_) => bail!(
                "{} {}/{name} did not come to be so within {LIMIT:?}: {what}; last seen: {:#}",
                kind.name,
                self.namespace,
                short(last)
            ),
        }
    }

    /// Waits until the group's status speaks of its spec and `Ready` stands so, for this reason.
    pub async fn group_is(&self, name: &str, status: &str, reason: &str) -> Result<Value> {
        let what = format!("Ready is {status} for {reason}");
        self.sees(GROUP, name, &what, |group| objects::is_ready(group, status, reason)).await
    }

    /// Waits until all is well with the group.
    pub async fn group_is_well(&self, name: &str) -> Result<Value> {
        self.group_is(name, "True", "Reconciled").await
    }

    /// Waits until one of the group's conditions gives this reason.
    pub async fn group_says(&self, name: &str, condition: &str, reason: &str) -> Result<Value> {
        let what = format!("{condition} gives {reason}");
        self.sees(GROUP, name, &what, |group| {
            objects::is_settled(group) && objects::condition(group, condition)[1] == reason
        })
        .await
    }

    /// Waits until the autoscaler's bounds are these.
    pub async fn bounds_are(&self, name: &str, min: i64, max: i64) -> Result<Value> {
        let what = format!("its bounds are {min} and {max}");
        self.sees(AUTOSCALER, name, &what, |seen| {
            seen["spec"]["minReplicas"] == min && seen["spec"]["maxReplicas"] == max
        })
        .await
    }

    /// From now on, what is written in this namespace and by whom.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::open(self)
    }

    /// The administrator's kubectl in this namespace.
    pub async fn kubectl(&self, args: &[&str]) -> Result<kcg_devcluster::KubectlOutput> {
        self.kubectl_with(args, "").await
    }

    /// The same with something on its standard input.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> Result<kcg_devcluster::KubectlOutput> {
        let args: Vec<&str> =
            ["--namespace", &self.namespace].into_iter().chain(args.iter().copied()).collect();
        Ok(self.world.plane.kubectl_command().run_with_input(&args, input).await?)
    }

    /// Removes the test's groups, and with them what costs the cluster something.
    pub async fn close(self) -> Result<()> {
        let groups = self.api(GROUP);
        groups.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }
}

/// A third party who makes no mistake: a field that is none is an error.
fn as_somebody() -> PatchParams {
    PatchParams {
        field_manager: Some(SOMEBODY.into()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

/// An object without what nobody reads.
fn short(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// What was said against it; panics where nothing was.
#[track_caller]
pub fn refusal<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("it was allowed"),
        Err(error) => format!("{error:#}"),
    }
}
