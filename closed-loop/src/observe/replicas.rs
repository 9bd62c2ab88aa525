//! The groups' replicas over the time of a run, watched at the API server. Polling would be a good
//! part of the API server's work, which is one of the things measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::clock::Clock;
use crate::timeline::Points;

/// The replicas of one group, with a point for each change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaHistory {
    /// Replicas that the autoscaler wants (its desiredReplicas).
    pub wanted: Points,
    /// Replicas that are ready.
    pub ready: Points,
    /// The autoscaler's maxReplicas.
    pub ceiling: Points,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct ReplicaWatch {
    groups: Arc<Mutex<BTreeMap<String, ReplicaHistory>>>,
    _tasks: JoinSet<()>,
}

impl ReplicaWatch {
    /// Begins to watch the groups of a namespace. A group's owned resources have its name.
    pub fn start(client: &Client, namespace: &str, clock: Clock) -> Self {
        let groups: Arc<Mutex<BTreeMap<String, ReplicaHistory>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let state = Arc::clone(&groups);
        tasks.spawn(watch(client.clone(), namespace, move |autoscaler: HorizontalPodAutoscaler, _| {
            let mut state = state.lock();
            record_autoscaler(state.entry(autoscaler.name_any()).or_default(), &autoscaler, clock.now());
        }));
        let state = Arc::clone(&groups);
        tasks.spawn(watch(client.clone(), namespace, move |deployment: Deployment, is_deleted| {
            let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas);
            let ready = ready.filter(|_| !is_deleted).unwrap_or(0);
            let mut state = state.lock();
            record(&mut state.entry(deployment.name_any()).or_default().ready, clock.now(), f64::from(ready));
        }));
        Self { groups, _tasks: tasks }
    }

    /// The observations of a group so far.
    pub fn group(&self, name: &str) -> ReplicaHistory {
        self.groups.lock().get(name).cloned().unwrap_or_default()
    }
}

/// Calls `handle` with each object that changes, and with `true` if it was deleted.
fn watch<K, H>(client: Client, namespace: &str, mut handle: H) -> impl Future<Output = ()> + Send + use<K, H>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
    K::DynamicType: Default,
    H: FnMut(K, bool) + Send + 'static,
{
    let events =
        watcher(Api::<K>::namespaced(client, namespace), watcher::Config::default()).default_backoff();
    async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    handle(object, false);
                }
                Ok(watcher::Event::Delete(object)) => handle(object, true),
                // After an error the watcher lists again.
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    }
}

fn record_autoscaler(history: &mut ReplicaHistory, autoscaler: &HorizontalPodAutoscaler, at: f64) {
    record(&mut history.ceiling, at, f64::from(autoscaler.spec.max_replicas));
    let Some(status) = &autoscaler.status else { return };
    // 0 until its first sync; later it is never 0.
    if status.desired_replicas > 0 {
        record(&mut history.wanted, at, f64::from(status.desired_replicas));
    }
}

/// Adds a point if the value has changed.
fn record(points: &mut Points, at: f64, value: f64) {
    #[allow(clippy::float_cmp)] // Counts of replicas.
    if points.last().is_none_or(|(_, last)| *last != value) {
        points.push((at, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_holds_a_point_for_each_change() {
        let mut points = Points::new();
        for (at, value) in [(1.0, 1.0), (2.0, 1.0), (3.0, 3.0)] {
            record(&mut points, at, value);
        }
        assert_eq!(points, [(1.0, 1.0), (3.0, 3.0)]);
    }
}
