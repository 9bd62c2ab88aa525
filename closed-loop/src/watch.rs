//! What the API server tells of groups while the story runs. Watched, not polled: asking again and again would be a good
//! part of the API server's work, which is one of the things that are measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::clock::Clock;

/// A value over the story's time, with a point for each change.
pub type Steps = Vec<(f64, f64)>;

/// What is known of one group's children.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Replicas that the autoscaler wants (its desiredReplicas).
    pub wanted: Steps,
    /// Replicas that are ready.
    pub ready: Steps,
    /// The autoscaler's maxReplicas.
    pub ceiling: Steps,
    /// The pods that exist now and are not going.
    pub pods: Vec<String>,
}

/// The last value of some steps.
pub fn last(steps: &Steps) -> Option<f64> {
    steps.last().map(|(_, value)| *value)
}

/// The watches; they end with this value.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to watch the groups of a namespace; a group's children have its name.
    pub fn start(client: &Client, namespace: &str, clock: Clock) -> Self {
        let seen: Arc<Mutex<BTreeMap<String, Seen>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let state = Arc::clone(&seen);
        tasks.spawn(follow(client.clone(), namespace, move |autoscaler: HorizontalPodAutoscaler, _| {
            note_autoscaler(state.lock().entry(autoscaler.name_any()).or_default(), &autoscaler, clock.now());
        }));
        let state = Arc::clone(&seen);
        tasks.spawn(follow(client.clone(), namespace, move |deployment: Deployment, gone| {
            let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).filter(|_| !gone);
            step(
                &mut state.lock().entry(deployment.name_any()).or_default().ready,
                clock.now(),
                f64::from(ready.unwrap_or(0)),
            );
        }));
        let state = Arc::clone(&seen);
        tasks.spawn(follow(client.clone(), namespace, move |pod: Pod, gone| {
            let Some(group) = pod.labels().get(GROUP_LABEL) else { return };
            note_pod(state.lock().entry(group.clone()).or_default(), &pod, gone);
        }));
        Self { seen, _tasks: tasks }
    }

    /// What has been seen of a group so far.
    pub fn group(&self, name: &str) -> Seen {
        self.seen.lock().get(name).cloned().unwrap_or_default()
    }
}

/// The label that the operator puts on a group's pods.
const GROUP_LABEL: &str = "thenextapps.com/kconsumergroup";

/// Hands every object to `note` as it comes, and with `true` as it goes.
fn follow<K, N>(client: Client, namespace: &str, mut note: N) -> impl Future<Output = ()> + Send + use<K, N>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
    K::DynamicType: Default,
    N: FnMut(K, bool) + Send + 'static,
{
    let events =
        watcher(Api::<K>::namespaced(client, namespace), watcher::Config::default()).default_backoff();
    async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => note(object, false),
                Ok(watcher::Event::Delete(object)) => note(object, true),
                // The watch begins anew by itself.
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    }
}

fn note_autoscaler(seen: &mut Seen, autoscaler: &HorizontalPodAutoscaler, at: f64) {
    step(&mut seen.ceiling, at, f64::from(autoscaler.spec.max_replicas));
    let Some(status) = &autoscaler.status else { return };
    // Before it has looked for the first time it wants nothing yet; it never wants none.
    if status.desired_replicas > 0 {
        step(&mut seen.wanted, at, f64::from(status.desired_replicas));
    }
}

fn note_pod(seen: &mut Seen, pod: &Pod, gone: bool) {
    let name = pod.name_any();
    seen.pods.retain(|other| *other != name);
    if gone || pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    seen.pods.push(name);
    seen.pods.sort();
}

fn step(steps: &mut Steps, at: f64, value: f64) {
    if last(steps) != Some(value) {
        steps.push((at, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_hold_a_point_for_each_change() {
        let mut steps = Steps::new();
        for (at, value) in [(1.0, 1.0), (2.0, 1.0), (3.0, 3.0)] {
            step(&mut steps, at, value);
        }
        assert_eq!(steps, [(1.0, 1.0), (3.0, 3.0)]);
    }
}
