//! The watches, in the order in which they are started: groups and topics, then the autoscalers
//! with the held partitions, then the Deployments with the defaults that their groups have taken, then
//! the objects that are compared with the desired state that follows from these.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kcg_api::topic::TopicFacts;
use kcg_api::{KconsumerGroup, names};
use kcg_core::children::ChildKind;
use kcg_core::facts::project;
use kcg_runtime::probes::{Readiness, ReadinessCheck};
use kcg_runtime::watch::{Event, Scope, Transform, WatchHealth, WatchSpec, Watcher};
use kcg_webhook::topics;
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use super::handlers::{Listener, PodFacts, check_staleness, on_children, on_groups, on_pods, on_topics};
use super::requests::{optional_kind, resource};
use super::stored_group::StoredGroup;

/// How long the first list of a kind may take once the groups are known.
const SYNC_TIMEOUT: Duration = Duration::from_mins(1);

/// The namespaces of the groups and their children, and those of the topics.
#[derive(Clone, Debug)]
pub struct Scopes {
    /// Groups and their children.
    pub groups: Scope,
    /// KafkaTopics.
    pub topics: Scope,
}

/// The watches of everything that decisions depend on.
pub(crate) struct Watches {
    cluster: Arc<Cluster>,
    groups: Watcher<StoredGroup>,
    topics: Watcher<TopicFacts>,
    autoscalers: Watcher<Value>,
    deployments: Watcher<Value>,
    others: Vec<(ChildKind, Watcher<Value>)>,
    pods: Watcher<PodFacts>,
    /// Notified when a watch is synced or changes its state.
    sync_changed: watch::Sender<()>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watches").finish_non_exhaustive()
    }
}

const AUTOSCALERS: ChildKind = ChildKind::HorizontalPodAutoscaler;
const DEPLOYMENTS: ChildKind = ChildKind::Deployment;

impl Watches {
    pub(crate) fn new(client: &Client, scopes: &Scopes, cluster: Arc<Cluster>) -> Self {
        let keys = cluster.shared_keys();
        let child = |kind: ChildKind| child_watcher(client, kind, scopes.groups.clone()).share_keys(keys);
        let groups = WatchSpec::typed::<KconsumerGroup>(scopes.groups.clone());
        let pods = WatchSpec::typed::<Pod>(scopes.groups.clone()).labels(names::LABEL_GROUP);
        let pod_facts = Transform::new(|facts: PodFacts| facts);
        let others = ChildKind::ALL.into_iter().filter(|kind| ![AUTOSCALERS, DEPLOYMENTS].contains(kind));
        Self {
            groups: Watcher::new(
                names::PLURAL,
                client.clone(),
                groups,
                Transform::from_text(StoredGroup::read),
            )
            .share_keys(keys),
            topics: topics::watcher(client.clone(), scopes.topics.clone()).share_keys(keys),
            autoscalers: child(AUTOSCALERS),
            deployments: child(DEPLOYMENTS),
            others: others.map(|kind| (kind, child(kind))).collect(),
            pods: Watcher::new("pods", client.clone(), pods, pod_facts),
            sync_changed: watch::Sender::new(()),
            cluster,
        }
    }

    /// The health of every watch.
    pub(crate) fn healths(&self) -> Vec<WatchHealth> {
        let mut healths = vec![self.groups.health(), self.topics.health()];
        healths.extend([&self.autoscalers, &self.deployments].map(Watcher::health));
        healths.extend(self.others.iter().map(|(_, watcher)| watcher.health()));
        healths.push(self.pods.health());
        healths
    }

    /// Updates one readiness check for each watch, and never returns. A check passes if the watch
    /// is synced and at least one namespace may be read. Topics need not be readable: the ceiling
    /// of their groups is held.
    pub(crate) fn update_readiness(
        &self,
        readiness: &Readiness,
    ) -> impl Future<Output = ()> + Send + 'static {
        let initial = "waits for the watches before it";
        let checks: Vec<(ReadinessCheck, WatchHealth)> = self
            .healths()
            .into_iter()
            .map(|health| (readiness.check(health.name(), initial), health))
            .collect();
        let mut sync_changed = self.sync_changed.subscribe();
        let topics = self.topics.health();
        async move {
            loop {
                for (check, health) in &checks {
                    let forbidden = || health.forbidden().filter(|_| health.name() != topics.name());
                    check.set(health.waiting_for().or_else(forbidden).map_or(Ok(()), Err));
                }
                if sync_changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Watches until `stop`, or until one of the watches ends, which is an error. Cancels `synced`
    /// once all watches are synced. A namespace that may not be read does not delay that.
    pub(crate) async fn run(
        self,
        listener: impl Listener,
        synced: CancellationToken,
        stop: CancellationToken,
    ) {
        let mut tasks = JoinSet::new();
        let started = self.start(&mut tasks, listener, &stop);
        if stop.run_until_cancelled(started).await == Some(()) {
            synced.cancel();
        }
        let _ = tasks.join_next().await;
    }

    /// Starts all watches, each after those that its objects are compared with. Returns when the
    /// last one is synced.
    async fn start(self, tasks: &mut JoinSet<()>, listener: impl Listener, stop: &CancellationToken) {
        let Self { cluster, groups, topics, autoscalers, deployments, others, pods, sync_changed } = self;
        let (groups_health, topics_health) = (groups.health(), topics.health());
        let on_topics = on_topics(&cluster, &topics_health, &listener);
        tasks.spawn(groups.run(stop.clone(), notify_on_sync(&sync_changed, on_groups(&cluster, &listener))));
        tasks.spawn(topics.run(stop.clone(), notify_on_sync(&sync_changed, on_topics)));
        let staleness = check_staleness(cluster.clone(), topics_health.clone(), listener.clone());
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(staleness).await.unwrap_or_default() });
        wait_until_synced(&[groups_health], &sync_changed).await;
        with_timeout(wait_until_synced(&[topics_health], &sync_changed)).await;

        for (kind, watcher) in [(AUTOSCALERS, autoscalers), (DEPLOYMENTS, deployments)] {
            let health = watcher.health();
            let on_children = on_children(&cluster, kind, &listener);
            tasks.spawn(watcher.run(stop.clone(), notify_on_sync(&sync_changed, on_children)));
            with_timeout(wait_until_synced(&[health], &sync_changed)).await;
        }

        let mut healths = vec![pods.health()];
        tasks.spawn(pods.run(stop.clone(), notify_on_sync(&sync_changed, on_pods(&cluster, &listener))));
        for (kind, watcher) in others {
            healths.push(watcher.health());
            let on_children = on_children(&cluster, kind, &listener);
            tasks.spawn(watcher.run(stop.clone(), notify_on_sync(&sync_changed, on_children)));
        }
        with_timeout(wait_until_synced(&healths, &sync_changed)).await;
    }
}

/// Waits with a timeout, so that one failing kind cannot block the others. An object whose watch is
/// not synced is read before it is written.
async fn with_timeout(synced: impl Future<Output = ()>) {
    if timeout(SYNC_TIMEOUT, synced).await.is_err() {
        tracing::warn!("starting without all watches synced: see the errors of the watches above");
    }
}

fn child_watcher(client: &Client, kind: ChildKind, scope: Scope) -> Watcher<Value> {
    let spec = if kind.is_optional() {
        WatchSpec::optional(optional_kind(kind), scope)
    } else {
        WatchSpec::dynamic(resource(kind), scope)
    };
    let selector = format!("{}={}", names::LABEL_MANAGED_BY, names::OPERATOR);
    Watcher::new(kind.plural(), client.clone(), spec.labels(&selector), Transform::from_text(project::read))
}

/// Notifies after each event that may have synced a watch or changed its state.
fn notify_on_sync<F>(
    sync_changed: &watch::Sender<()>,
    mut handle: impl FnMut(Event<F>) + Send + 'static,
) -> impl FnMut(Event<F>) + Send + 'static {
    let sync_changed = sync_changed.clone();
    move |event| {
        let notifies = matches!(event, Event::Synced | Event::StateChanged(_));
        handle(event);
        if notifies {
            sync_changed.send_replace(());
        }
    }
}

/// Returns when no watch waits for its first list.
async fn wait_until_synced(healths: &[WatchHealth], sync_changed: &watch::Sender<()>) {
    let mut changed = sync_changed.subscribe();
    while healths.iter().any(|health| health.waiting_for().is_some()) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}
