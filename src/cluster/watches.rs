//! The watches, in the order in which they are needed: groups and topics, the autoscalers that hold what was
//! known of the topics, then all that is judged by these.

use k8s_openapi::api::core::v1::Pod;
use kcg_api::topic::{self, TopicFacts};
use kcg_api::{KconsumerGroup, names};
use kcg_runtime::discovery::OptionalKind;
use kcg_runtime::probes::{Readiness, ReadinessCheck};
use kcg_runtime::watch::{
    Availability, Event, NamespaceHealth, ObjectKey, Scope, Transform, WatchHealth, WatchSpec, WatchState,
    Watcher,
};
use kube::Client;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::requests::{optional_kind, resource};
use super::{Cluster, Touched};
use kcg_core::children::ChildKind;
use kcg_core::topics::{MAX_AGE, TopicsAvailability};

/// How often it is looked at whether the topics' watches have fallen silent.
const CHECK: Duration = Duration::from_secs(5);
/// How long the first view of a kind may take once the groups are known.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where groups and their children are, and where topics.
#[derive(Clone, Debug)]
pub struct Scopes {
    pub groups: Scope,
    pub topics: Scope,
}

/// Told of the groups that a change concerns.
pub trait Listener: Fn(Touched) + Clone + Send + Sync + 'static {}
impl<L: Fn(Touched) + Clone + Send + Sync + 'static> Listener for L {}

/// The followers of everything that is decided by.
pub struct Watches {
    cluster: Arc<Cluster>,
    groups: Watcher<Value>,
    topics: Watcher<TopicFacts>,
    autoscalers: Watcher<Value>,
    others: Vec<(ChildKind, Watcher<Value>)>,
    pods: Watcher<PodFact>,
    /// Rung whenever a watch has told everything, or changed its state.
    bell: watch::Sender<()>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watches").finish_non_exhaustive()
    }
}

const AUTOSCALERS: ChildKind = ChildKind::HorizontalPodAutoscaler;

impl Watches {
    pub fn new(client: &Client, scopes: &Scopes, cluster: Arc<Cluster>) -> Self {
        let child = |kind: ChildKind| child_watcher(client, kind, scopes.groups.clone());
        let groups = WatchSpec::typed::<KconsumerGroup>(scopes.groups.clone());
        let pods = WatchSpec::typed::<Pod>(scopes.groups.clone()).labels(names::LABEL_GROUP);
        let others = ChildKind::ALL.into_iter().filter(|kind| *kind != AUTOSCALERS);
        Self {
            groups: Watcher::new(
                names::PLURAL,
                client.clone(),
                groups,
                Transform::new(|object: Value| object),
            ),
            topics: topic_watcher(client.clone(), scopes.topics.clone()),
            autoscalers: child(AUTOSCALERS),
            others: others.map(|kind| (kind, child(kind))).collect(),
            pods: Watcher::new("pods", client.clone(), pods, Transform::new(|pod: Pod| PodFact::of(&pod))),
            bell: watch::Sender::new(()),
            cluster,
        }
    }

    pub fn pulses(&self) -> Vec<WatchHealth> {
        let first = [self.groups.health(), self.topics.health(), self.autoscalers.health()];
        let others = self.others.iter().map(|(_, follower)| follower.health());
        first.into_iter().chain(others).chain([self.pods.health()]).collect()
    }

    /// Keeps one gate a watch, open once the watch has told everything that it may see, and that is something: only of
    /// topics nothing may be seen, since a group's ceiling is held then. Never ends by itself.
    pub fn keep_gates(&self, readiness: &Readiness) -> impl Future<Output = ()> + Send + 'static {
        let waits = "waits for the watches before it";
        let gates: Vec<(ReadinessCheck, WatchHealth)> =
            self.pulses().into_iter().map(|pulse| (readiness.check(pulse.name(), waits), pulse)).collect();
        let mut rung = self.bell.subscribe();
        let topics = self.topics.health();
        async move {
            loop {
                for (gate, pulse) in &gates {
                    let refused = || pulse.forbidden().filter(|_| pulse.name() != topics.name());
                    gate.set(pulse.waiting_for().or_else(refused).map_or(Ok(()), Err));
                }
                if rung.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Follows until `stop`, or until one of the watches ends by itself, which is a fault. `synced` is cancelled
    /// once all that exists was told; a namespace that may not be looked into is not waited for.
    pub async fn run(self, listener: impl Listener, synced: CancellationToken, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let told = self.start(&mut tasks, listener, &stop);
        if stop.run_until_cancelled(told).await == Some(()) {
            synced.cancel();
        }
        let _ = tasks.join_next().await;
    }

    /// Starts all watches, each when those are filled that its objects are judged by; returns when the last is.
    async fn start(self, tasks: &mut JoinSet<()>, listener: impl Listener, stop: &CancellationToken) {
        let Self { cluster, groups, topics, autoscalers, others, pods, bell } = self;
        let (groups_pulse, topics_pulse) = (groups.health(), topics.health());
        tasks.spawn(groups.run(stop.clone(), rung(&bell, told_groups(&cluster, &listener))));
        tasks.spawn(topics.run(stop.clone(), rung(&bell, told_topics(&cluster, &topics_pulse, &listener))));
        let distrust = distrust(cluster.clone(), topics_pulse.clone(), listener.clone());
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(distrust).await.unwrap_or_default() });
        settled(&[groups_pulse], &bell).await;
        patiently(settled(&[topics_pulse], &bell)).await;

        let autoscalers_pulse = autoscalers.health();
        tasks.spawn(
            autoscalers.run(stop.clone(), rung(&bell, told_children(&cluster, AUTOSCALERS, &listener))),
        );
        patiently(settled(&[autoscalers_pulse], &bell)).await;

        let mut pulses = vec![pods.health()];
        tasks.spawn(pods.run(stop.clone(), rung(&bell, told_pods(&cluster, &listener))));
        for (kind, follower) in others {
            pulses.push(follower.health());
            tasks.spawn(follower.run(stop.clone(), rung(&bell, told_children(&cluster, kind, &listener))));
        }
        patiently(settled(&pulses, &bell)).await;
    }
}

/// Waits, and not for ever: a kind that the API server keeps failing at must not keep the groups from their
/// other children. Without its watch an object is read before it is written.
async fn patiently(settled: impl Future<Output = ()>) {
    if timeout(PATIENCE, settled).await.is_err() {
        tracing::warn!("going on without a full view: see the watches before this line");
    }
}

/// The KafkaTopics, in the best version that the cluster serves.
fn topic_watcher(client: Client, scope: Scope) -> Watcher<TopicFacts> {
    let kind = OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS);
    let decode = Transform::new(|topic: Value| TopicFacts::decode(&topic));
    Watcher::new(topic::PLURAL, client, WatchSpec::optional(kind, scope), decode)
}

fn child_watcher(client: &Client, kind: ChildKind, scope: Scope) -> Watcher<Value> {
    let source = if kind.is_optional() {
        WatchSpec::optional(optional_kind(kind), scope)
    } else {
        WatchSpec::dynamic(resource(kind), scope)
    };
    let selector = format!("{}={}", names::LABEL_MANAGED_BY, names::OPERATOR);
    Watcher::new(
        kind.plural(),
        client.clone(),
        source.labels(&selector),
        Transform::new(|object: Value| object),
    )
}

/// Rings after each change that may have filled a watch or hindered it.
fn rung<F>(
    bell: &watch::Sender<()>,
    mut tell: impl FnMut(Event<F>) + Send + 'static,
) -> impl FnMut(Event<F>) + Send + 'static {
    let bell = bell.clone();
    move |change| {
        let rings = matches!(change, Event::Synced | Event::StateChanged(_));
        tell(change);
        if rings {
            bell.send_replace(());
        }
    }
}

/// Returns when each watch has told everything that it may see.
async fn settled(pulses: &[WatchHealth], bell: &watch::Sender<()>) {
    let mut rung = bell.subscribe();
    while pulses.iter().any(|pulse| pulse.waiting_for().is_some()) {
        if rung.changed().await.is_err() {
            return;
        }
    }
}

fn told_groups(
    cluster: &Arc<Cluster>,
    listener: &impl Listener,
) -> impl FnMut(Event<Value>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    move |change| {
        listener(match change {
            Event::Applied(key, object) => cluster.group_was_seen(&key, &object, false),
            Event::Deleted(key) => cluster.state().group_is_gone(&key),
            Event::StateChanged(WatchState::NotServed) => cluster.state().groups_are_gone(),
            // Any JSON is taken.
            Event::Unparsable(..) | Event::Synced | Event::StateChanged(_) | Event::Served(_) => {
                Touched::new()
            }
        });
    }
}

fn told_topics(
    cluster: &Arc<Cluster>,
    pulse: &WatchHealth,
    listener: &impl Listener,
) -> impl FnMut(Event<TopicFacts>) + Send + 'static {
    let (cluster, pulse, listener) = (cluster.clone(), pulse.clone(), listener.clone());
    move |change| {
        listener(match change {
            Event::Applied(key, facts) => cluster.state().topic_is(key, facts),
            Event::Deleted(key) => cluster.state().topic_is_gone(&key),
            Event::StateChanged(_) => look_anew(&cluster, &pulse),
            Event::Unparsable(..) | Event::Synced | Event::Served(_) => Touched::new(),
        });
    }
}

/// What can be made of the topics of each namespace now.
fn look_anew(cluster: &Cluster, pulse: &WatchHealth) -> Touched {
    let mut state = cluster.state();
    let namespaces = pulse.by_namespace().into_iter();
    namespaces
        .flat_map(|(namespace, health)| state.topics_are(namespace.as_deref(), availability(&health)))
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

/// Silence is no change that a watch tells of: it is looked for.
async fn distrust(cluster: Arc<Cluster>, pulse: WatchHealth, listener: impl Listener) {
    let mut checks = tokio::time::interval(CHECK);
    loop {
        checks.tick().await;
        listener(look_anew(&cluster, &pulse));
    }
}

fn told_children(
    cluster: &Arc<Cluster>,
    kind: ChildKind,
    listener: &impl Listener,
) -> impl FnMut(Event<Value>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    let mut absent = false;
    move |change| {
        listener(match change {
            Event::Applied(key, live) => cluster.saw(&key, kind, &live),
            Event::Deleted(key) => cluster.state().child_is_gone(&key, kind),
            Event::StateChanged(state) => {
                absent = state == WatchState::NotServed;
                if absent { cluster.state().kind_is(kind, false) } else { Touched::new() }
            }
            // A kind that has come is there once its objects are known.
            Event::Synced if !absent => cluster.state().kind_is(kind, true),
            Event::Synced | Event::Unparsable(..) | Event::Served(_) => Touched::new(),
        });
    }
}

/// What is kept of a pod.
#[derive(Debug)]
struct PodFact {
    group: Option<String>,
    active: bool,
}

impl PodFact {
    fn of(pod: &Pod) -> Self {
        let labels = pod.metadata.labels.as_ref();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            group: labels.and_then(|labels| labels.get(names::LABEL_GROUP)).cloned(),
            active: phase == Some("Running") && pod.metadata.deletion_timestamp.is_none(),
        }
    }
}

fn told_pods(
    cluster: &Arc<Cluster>,
    listener: &impl Listener,
) -> impl FnMut(Event<PodFact>) + Send + 'static {
    let (cluster, listener) = (cluster.clone(), listener.clone());
    move |change| {
        listener(match change {
            Event::Applied(pod, fact) => {
                let group =
                    fact.group.filter(|_| fact.active).map(|name| ObjectKey::new(pod.namespace(), &name));
                cluster.state().pod_is(&pod, group)
            }
            Event::Deleted(pod) | Event::Unparsable(pod, _) => cluster.state().pod_is(&pod, None),
            Event::Synced | Event::StateChanged(_) | Event::Served(_) => Touched::new(),
        });
    }
}
