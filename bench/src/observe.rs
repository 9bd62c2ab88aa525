//! What an observer of the API server sees: when groups are complete, and which objects were written.
//! Operators and floors are judged by the same observer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::api::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::kinds::{AUTOSCALER, CHILDREN, GROUP, Kind, get};
use crate::workload::{PARTITIONS, Workload};

/// The longest that a burst may take.
const LIMIT: Duration = Duration::from_mins(30);
/// As operators list.
const PAGE: usize = 500;

/// What the observer reads of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    pub metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    uid: String,
    resource_version: String,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    max_replicas: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
}

impl Seen {
    pub fn max_replicas(&self) -> i64 {
        self.spec.max_replicas
    }
}

#[derive(Deserialize)]
struct Page<T> {
    metadata: PageMeta,
    items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

/// All objects of a kind, page by page, and the resource version of the list.
pub async fn list<T: serde::de::DeserializeOwned>(
    client: &Client,
    kind: Kind,
    selector: Option<&str>,
) -> Result<(Vec<T>, String)> {
    let (mut items, mut next) = (Vec::new(), String::new());
    loop {
        let mut path = format!("{}?limit={PAGE}", kind.all());
        if let Some(selector) = selector {
            path = format!("{path}&labelSelector={}", selector.replace('/', "%2F").replace('=', "%3D"));
        }
        if !next.is_empty() {
            path = format!("{path}&continue={next}");
        }
        let page: Page<T> =
            client.request(get(&path)).await.with_context(|| format!("list {}", kind.plural))?;
        items.extend(page.items);
        next = page.metadata.next;
        if next.is_empty() {
            return Ok((items, page.metadata.resource_version));
        }
    }
}

/// The objects of a kind that are written from now on. A watch that is closed is opened again where it was.
pub async fn watch(
    client: &Client,
    kind: Kind,
) -> Result<impl Stream<Item = Result<Seen>> + Send + Unpin + use<>> {
    let path = format!("{}?limit=1", kind.all());
    let page: Page<Value> = client.request(get(&path)).await?;
    let mut watch =
        Watch { client: client.clone(), kind, version: page.metadata.resource_version, events: None };
    watch.open().await?;
    Ok(Box::pin(stream::try_unfold(watch, |mut watch| async move {
        let seen = watch.next().await?;
        Ok(Some((seen, watch)))
    })))
}

struct Watch {
    client: Client,
    kind: Kind,
    /// Of the last object that was seen.
    version: String,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<Seen>>>>,
}

impl Watch {
    async fn open(&mut self) -> Result<()> {
        let Self { kind, version, .. } = self;
        let path = format!("{}?watch=true&resourceVersion={version}&timeoutSeconds=3600", kind.all());
        let events = self.client.request_events::<Seen>(get(&path)).await;
        self.events = Some(events.with_context(|| format!("watch {}", kind.plural))?.boxed());
        Ok(())
    }

    async fn next(&mut self) -> Result<Seen> {
        loop {
            let Some(events) = &mut self.events else {
                self.open().await?;
                continue;
            };
            match events.next().await {
                Some(Ok(
                    WatchEvent::Added(seen) | WatchEvent::Modified(seen) | WatchEvent::Deleted(seen),
                )) => {
                    self.version.clone_from(&seen.metadata.resource_version);
                    return Ok(seen);
                }
                Some(Ok(WatchEvent::Error(error))) => {
                    bail!("the watch of {} ended: {}", self.kind.plural, error.message)
                }
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                // An API server without CPU closes watches.
                Some(Err(_)) | None => self.events = None,
            }
        }
    }
}

/// Waits for a burst: from before the first group is created until all are complete.
pub struct Convergence {
    workload: Workload,
    statuses: JoinHandle<Result<Instant>>,
}

impl Convergence {
    /// Call it before the first group is created.
    pub async fn begin(client: &Client, workload: Workload) -> Result<Self> {
        let mut events = watch(client, GROUP).await?;
        let statuses = tokio::spawn(async move {
            let mut complete = BTreeSet::new();
            while complete.len() < workload.count() {
                let seen = events.next().await.context("the watch of the groups ended")??;
                let is_observed = seen.status.observed_generation == seen.metadata.generation;
                if is_observed && workload.has_namespace(&seen.metadata.namespace) {
                    complete.insert((seen.metadata.namespace, seen.metadata.name));
                }
            }
            Ok(Instant::now())
        });
        Ok(Self { workload, statuses })
    }

    /// When the last status was seen, or, if something was still missing then, when nothing was; and what
    /// `read` returned at that time.
    pub async fn end<T>(self, client: &Client, read: impl Fn() -> Result<T>) -> Result<(Instant, T)> {
        let seen =
            timeout(LIMIT, self.statuses).await.context("not all groups got a status in time")???;
        let mut end = (seen, read()?);
        while let Some(missing) = missing(client, self.workload).await? {
            ensure!(seen.elapsed() < LIMIT, "still missing: {missing}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            end = (Instant::now(), read()?);
        }
        Ok(end)
    }
}

/// The first kind of which groups lack a child, or whose children are not right.
async fn missing(client: &Client, workload: Workload) -> Result<Option<String>> {
    for kind in CHILDREN {
        let (children, _) = list::<Seen>(client, kind, None).await?;
        let is_right = |child: &&Seen| {
            workload.has_namespace(&child.metadata.namespace)
                && (kind != AUTOSCALER || child.spec.max_replicas == PARTITIONS)
        };
        let right = children.iter().filter(is_right).count();
        if right < workload.last {
            return Ok(Some(format!("{} {}", workload.last - right, kind.plural)));
        }
    }
    Ok(None)
}

/// The resource versions of the groups and their children by uid. Two readings differ in what was
/// written between them.
pub async fn versions(client: &Client) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for kind in [GROUP].into_iter().chain(CHILDREN) {
        let (objects, _) = list::<Seen>(client, kind, None).await?;
        versions.extend(objects.into_iter().map(|seen| (seen.metadata.uid, seen.metadata.resource_version)));
    }
    Ok(versions)
}

/// How many objects were created, changed or deleted between two readings.
pub fn written(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> usize {
    let changed = after.iter().filter(|(uid, version)| before.get(*uid) != Some(version)).count();
    changed + before.keys().filter(|uid| !after.contains_key(*uid)).count()
}

/// Counts writes by kind as long as it exists.
pub struct Tally(Vec<(Kind, Arc<AtomicUsize>, JoinHandle<Result<()>>)>);

impl Tally {
    /// Counts the writes of groups and their children.
    pub async fn begin(client: &Client) -> Result<Self> {
        let mut counts = Vec::new();
        for kind in [GROUP].into_iter().chain(CHILDREN) {
            let (mut events, count) = (watch(client, kind).await?, Arc::new(AtomicUsize::new(0)));
            let counted = Arc::clone(&count);
            let task = tokio::spawn(async move {
                while events.try_next().await?.is_some() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                bail!("the watch of {} ended", kind.plural)
            });
            counts.push((kind, count, task));
        }
        Ok(Self(counts))
    }

    /// The number of writes so far, by all users. Fails if something was not counted.
    pub fn total(&self) -> Result<usize> {
        for (kind, _, task) in &self.0 {
            ensure!(!task.is_finished(), "the writes of {} were not all counted", kind.plural);
        }
        Ok(self.0.iter().map(|(_, count, _)| count.load(Ordering::Relaxed)).sum())
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.iter().for_each(|(.., task)| task.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_appeared_or_disappeared_was_written() {
        let versions = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(uid, version)| ((*uid).to_owned(), (*version).to_owned())).collect()
        };
        let before = versions(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(written(&before, &before), 0);
        assert_eq!(written(&before, &versions(&[("a", "1"), ("b", "4"), ("d", "5")])), 3);
    }
}
