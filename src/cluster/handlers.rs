//! What each event of a watch does: it updates the cache and notifies the listener of the affected
//! groups.

use std::sync::Arc;
use std::time::Duration;

use kcg_api::names;
use kcg_api::projection::Keep;
use kcg_api::topic::TopicFacts;
use kcg_core::children::ChildKind;
use kcg_core::topics::{MAX_AGE, TopicsAvailability};
use kcg_runtime::watch::{Availability, Event, NamespaceHealth, ObjectKey, WatchHealth, WatchState};
use serde::de::{Deserialize, DeserializeSeed as _, Deserializer};
use serde_json::Value;

use super::stored_group::StoredGroup;
use super::{Affected, Cluster};

/// How often the watch of the topics is checked for silence.
const STALENESS_INTERVAL: Duration = Duration::from_secs(5);

/// Called with the affected groups.
pub(crate) trait Listener: Fn(Affected) + Clone + Send + Sync + 'static {}
impl<L: Fn(Affected) + Clone + Send + Sync + 'static> Listener for L {}

pub(super) fn on_groups(
    cluster: &Arc<Cluster>,
    listener: &impl Listener,
) -> impl FnMut(Event<StoredGroup>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    move |event| {
        listener(match event {
            Event::Applied(key, stored) => cluster.observe_group(&key, stored, false),
            Event::Deleted(key) => cluster.cache().remove_group(&key),
            Event::StateChanged(WatchState::NotServed) => cluster.cache().remove_groups(),
            // The API server itself writes what is read of a group.
            Event::Unparsable(..)
            | Event::Listed(_)
            | Event::Synced
            | Event::StateChanged(_)
            | Event::Served(_) => Affected::new(),
        });
    }
}

pub(super) fn on_topics(
    cluster: &Arc<Cluster>,
    health: &WatchHealth,
    listener: &impl Listener,
) -> impl FnMut(Event<TopicFacts>) + Send + 'static {
    let (cluster, health, listener) = (cluster.clone(), health.clone(), listener.clone());
    move |event| {
        listener(match event {
            Event::Applied(key, facts) => cluster.cache().set_topic(key, facts),
            Event::Deleted(key) => cluster.cache().remove_topic(&key),
            Event::StateChanged(_) => refresh_availability(&cluster, &health),
            Event::Unparsable(..) | Event::Listed(_) | Event::Synced | Event::Served(_) => Affected::new(),
        });
    }
}

/// Updates the availability of the topics of each namespace.
fn refresh_availability(cluster: &Cluster, health: &WatchHealth) -> Affected {
    let mut cache = cluster.cache();
    let namespaces = health.by_namespace().into_iter();
    namespaces
        .flat_map(|(namespace, health)| {
            cache.set_topics_availability(namespace.as_deref(), availability(&health))
        })
        .collect()
}

fn availability(health: &NamespaceHealth) -> TopicsAvailability {
    match health.availability(MAX_AGE) {
        Availability::Pending => TopicsAvailability::Pending,
        Availability::Available => TopicsAvailability::Available,
        Availability::NotServed => TopicsAvailability::NotServed,
        Availability::Forbidden(message) => TopicsAvailability::Unreadable(message),
        Availability::Stale(state) => {
            TopicsAvailability::Stale(format!("their watch is interrupted ({state})"))
        }
    }
}

/// A silent watch sends no event, so its age is checked periodically.
pub(super) async fn check_staleness(cluster: Arc<Cluster>, health: WatchHealth, listener: impl Listener) {
    let mut checks = tokio::time::interval(STALENESS_INTERVAL);
    loop {
        checks.tick().await;
        listener(refresh_availability(&cluster, &health));
    }
}

pub(super) fn on_children(
    cluster: &Arc<Cluster>,
    kind: ChildKind,
    listener: &impl Listener,
) -> impl FnMut(Event<Value>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    let mut not_served = false;
    move |event| {
        listener(match event {
            Event::Applied(key, live) => cluster.observe_child(&key, kind, &live),
            Event::Unparsable(key, _) => cluster.cache().set_unreadable(&key, kind),
            Event::Deleted(key) => cluster.cache().remove_child(&key, kind),
            Event::StateChanged(state) => {
                not_served = state == WatchState::NotServed;
                if not_served { cluster.cache().set_served(kind, false) } else { Affected::new() }
            }
            Event::Listed(namespace) => cluster.cache().remove_unreported(kind, namespace.as_deref()),
            // A kind that is newly served counts once its objects are known.
            Event::Synced if !not_served => {
                let mut cache = cluster.cache();
                cache.set_listed(kind);
                cache.set_served(kind, true)
            }
            Event::Synced | Event::Served(_) => Affected::new(),
        });
    }
}

/// What is kept of a pod.
#[derive(Debug)]
pub(super) struct PodFacts {
    group: Option<String>,
    active: bool,
}

impl PodFacts {
    /// The fields of a pod that are read.
    const FIELDS: Keep = Keep::Fields(&[
        (
            "metadata",
            Keep::Fields(&[
                ("labels", Keep::Fields(&[(names::LABEL_GROUP, Keep::Scalar)])),
                ("deletionTimestamp", Keep::Scalar),
            ]),
        ),
        ("status", Keep::Fields(&[("phase", Keep::Scalar)])),
    ]);
}

impl<'de> Deserialize<'de> for PodFacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pod = Self::FIELDS.deserialize(deserializer)?;
        let metadata = &pod["metadata"];
        Ok(Self {
            group: metadata["labels"][names::LABEL_GROUP].as_str().map(str::to_owned),
            active: pod["status"]["phase"] == "Running" && metadata["deletionTimestamp"].is_null(),
        })
    }
}

pub(super) fn on_pods(
    cluster: &Arc<Cluster>,
    listener: &impl Listener,
) -> impl FnMut(Event<PodFacts>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    move |event| {
        listener(match event {
            Event::Applied(pod, facts) => {
                let group =
                    facts.group.filter(|_| facts.active).map(|name| ObjectKey::new(pod.namespace(), &name));
                cluster.cache().set_pod(&pod, group)
            }
            Event::Deleted(pod) | Event::Unparsable(pod, _) => cluster.cache().set_pod(&pod, None),
            Event::Listed(_) | Event::Synced | Event::StateChanged(_) | Event::Served(_) => Affected::new(),
        });
    }
}
