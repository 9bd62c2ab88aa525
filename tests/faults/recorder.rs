//! Every version of every object that matters, as the API server's watches report it to an
//! administrator, never through a proxy.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, Kind, SERVICE};
use kcg_tests::{Change, changes};
use kube::api::DynamicObject;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A version of an object, or its deletion.
#[derive(Clone, Debug)]
pub struct Version {
    pub kind: Kind,
    pub gone: bool,
    pub object: Arc<Value>,
}

/// The objects of a namespace, by kind and name.
pub type Objects = BTreeMap<(&'static str, String), Arc<Value>>;

/// A write that the recorder has yet to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    kind: &'static str,
    uid: String,
    /// None of a deletion.
    version: Option<String>,
}

/// Watches all namespaces of an API server.
pub struct Recorder {
    state: Arc<State>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

type State = Mutex<HashMap<String, History>>;

/// What was seen of a namespace.
#[derive(Default)]
struct History {
    versions: Vec<Version>,
    objects: Objects,
    changed: watch::Sender<()>,
}

impl Version {
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }
}

impl Trace {
    pub fn written(kind: Kind, object: &Value) -> Self {
        let version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        Self { version, ..Self::deleted(kind, object) }
    }

    pub fn deleted(kind: Kind, object: &Value) -> Self {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        Self { kind: kind.name, uid, version: None }
    }

    fn is_of(&self, version: &Version) -> bool {
        let seen = version.object["metadata"]["resourceVersion"].as_str();
        let is_version = self.version.as_deref().map_or(version.gone, |wanted| seen == Some(wanted));
        self.kind == version.kind.name && self.uid == version.uid() && is_version
    }
}

impl Recorder {
    pub fn start(client: &Client) -> Self {
        let state = Arc::<State>::default();
        let kinds = CHILDREN.into_iter().chain([GROUP]);
        let tasks = kinds.map(|kind| tokio::spawn(record(client.clone(), kind, state.clone())));
        Self { _tasks: tasks.map(AbortOnDropHandle::new).collect(), state }
    }

    /// All versions of a namespace's objects, in the order of their kind's watch.
    pub fn versions(&self, namespace: &str) -> Vec<Version> {
        self.state.lock().get(namespace).map(|history| history.versions.clone()).unwrap_or_default()
    }

    pub fn forget(&self, namespace: &str) {
        self.state.lock().remove(namespace);
    }

    /// The objects of a namespace now.
    pub fn objects(&self, namespace: &str) -> Objects {
        self.state.lock().get(namespace).map(|history| history.objects.clone()).unwrap_or_default()
    }

    /// Waits until these writes were seen.
    pub async fn until_seen(&self, namespace: &str, traces: &[Trace], limit: Duration) -> Result<()> {
        self.until(namespace, limit, |_| {
            let versions = self.versions(namespace);
            let unseen = traces.iter().find(|trace| !versions.iter().any(|version| trace.is_of(version)));
            unseen.map(|trace| format!("the recorder has not seen {trace:?}"))
        })
        .await
    }

    /// Waits until the objects of a namespace are as they should be. `differs` says how they are not.
    pub async fn until(
        &self,
        namespace: &str,
        limit: Duration,
        mut differs: impl FnMut(&Objects) -> Option<String>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut changed = self.state.lock().entry(namespace.to_owned()).or_default().changed.subscribe();
        while let Some(difference) = differs(&self.objects(namespace)) {
            let changes = tokio::time::timeout_at(deadline.into(), changed.changed());
            if !matches!(changes.await, Ok(Ok(()))) {
                bail!("not within {limit:?}: {difference}");
            }
        }
        Ok(())
    }
}

async fn record(client: Client, kind: Kind, state: Arc<State>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let mut changes = std::pin::pin!(changes(api));
    while let Some(Change { gone, object }) = changes.next().await {
        let Some(namespace) = object.metadata.namespace.clone() else { continue };
        let name = object.metadata.name.clone().unwrap_or_default();
        let object = Arc::new(serde_json::to_value(object).unwrap_or_default());
        let mut namespaces = state.lock();
        let history = namespaces.entry(namespace).or_default();
        if gone {
            history.objects.remove(&(kind.name, name));
        } else {
            history.objects.insert((kind.name, name), object.clone());
        }
        history.versions.push(Version { kind, gone, object });
        history.changed.send_replace(());
    }
}

/// The objects without what differs between two runs of the same life: identities, versions, times, and
/// the name of the namespace.
pub fn canonical(objects: &Objects, namespace: &str) -> BTreeMap<String, String> {
    let named = objects.iter().map(|((kind, name), object)| {
        let mut object = Value::clone(object);
        remove(&mut object, "/metadata", &["uid", "resourceVersion", "creationTimestamp", "managedFields"]);
        remove(&mut object, "/metadata", &["generation"]);
        remove(&mut object, "/metadata/ownerReferences/0", &["uid"]);
        remove(&mut object, "/status", &["observedGeneration"]);
        for index in 0..conditions(&object) {
            let path = format!("/status/conditions/{index}");
            remove(&mut object, &path, &["lastTransitionTime", "lastUpdateTime", "observedGeneration"]);
        }
        match *kind {
            kind if kind == SERVICE.name => remove(&mut object, "/spec", &["clusterIP", "clusterIPs"]),
            kind if kind == DEPLOYMENT.name => remove(&mut object, "/status", &["observedGeneration"]),
            _ => {}
        }
        (format!("{kind} {name}"), format!("{object:#}").replace(namespace, "NAMESPACE"))
    });
    named.collect()
}

fn conditions(object: &Value) -> usize {
    object.pointer("/status/conditions").and_then(Value::as_array).map_or(0, Vec::len)
}

fn remove(object: &mut Value, path: &str, fields: &[&str]) {
    if let Some(map) = object.pointer_mut(path).and_then(Value::as_object_mut) {
        for field in fields {
            map.remove(*field);
        }
    }
}

/// The first difference between two canonical forms: the object, and the first line that differs.
pub fn difference(wanted: &BTreeMap<String, String>, seen: &BTreeMap<String, String>) -> Option<String> {
    let names: std::collections::BTreeSet<_> = wanted.keys().chain(seen.keys()).collect();
    names.into_iter().find_map(|name| match (wanted.get(name), seen.get(name)) {
        (Some(wanted), Some(seen)) if wanted == seen => None,
        (Some(wanted), Some(seen)) => {
            let lines = wanted.lines().zip(seen.lines()).find(|(wanted, seen)| wanted != seen);
            let (wanted, seen) = lines.unwrap_or(("its end", "another end"));
            Some(format!("{name}: {} instead of {}", seen.trim(), wanted.trim()))
        }
        (None, _) => Some(format!("{name} is there")),
        (_, None) => Some(format!("{name} is missing")),
    })
}
