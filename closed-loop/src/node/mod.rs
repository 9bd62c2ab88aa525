//! A node that runs pods as local processes, in place of a kubelet and a container runtime.
//!
//! Each pod that is bound to it gets its own network, address, and root with its volumes. Its image
//! is mapped to a program of this computer ([`Images`]), which is started with the container's
//! arguments and environment, probed, restarted, and ended with its grace period. The pod's status
//! names what is not supported: several containers, init containers, exec probes, and preStop hooks
//! other than sleep. Users, limits and security contexts are not enforced. A cluster can have one
//! such node: a second one would assign the same addresses.

mod command;
mod env;
mod images;
mod kubelet_api;
mod pod;
mod probe;
mod registration;
mod report;
mod restart;
mod running;
mod runs;
mod sandbox;
mod spec;
mod status;
mod token;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kcg_devcluster::pki::Ca;
use kcg_devcluster::pod_network::{self, NODE_ADDRESS};
use kcg_devcluster::{Background, ControlPlane, Port, client_for, wait};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub use images::{Image, Images};
pub use runs::Run;

use crate::{Error, Result};
use pod::Worker;
use runs::Runs;
use volumes::Objects;

const READY_LIMIT: Duration = Duration::from_mins(1);

/// The state that the tasks of all pods share.
pub(crate) struct Context {
    client: Client,
    images: Images,
    folder: PathBuf,
    objects: Objects,
    runs: Arc<Runs>,
    api_server: SocketAddr,
}

impl Context {
    /// The log file of a run. The first run has the plain name; later runs, also of a later pod
    /// with that name, are numbered.
    fn log_path(&self, name: &str) -> PathBuf {
        let numbered = (1_u32..).map(|number| self.folder.join(format!("{name}_{number}.log")));
        let plain = self.folder.join(format!("{name}.log"));
        let mut paths = std::iter::once(plain.clone()).chain(numbered);
        paths.find(|path| !path.exists()).unwrap_or(plain)
    }
}

/// The node. Dropping it kills the programs of all its pods.
#[derive(Debug)]
pub struct Node {
    background: Option<Background>,
    runs: Arc<Runs>,
    _port: Port,
}

impl Node {
    /// Registers a node and begins to run the pods that are bound to it. Works only inside the pod
    /// network.
    pub async fn start(plane: &ControlPlane, name: &str, images: Images) -> Result<Self> {
        if !pod_network::is_inside() {
            return Err(Error::Missing("a node with real pods starts only inside the pod network".into()));
        }
        let (background, port) = (Background::start()?, Port::take()?);
        let runs = Arc::new(Runs::default());
        let serving = Ca::new("devcluster-node")?.server(&[name, &NODE_ADDRESS.to_string()])?;
        let (sender, ready) = tokio::sync::oneshot::channel();
        let start = Start {
            name: name.to_owned(),
            kubeconfig: plane.kubeconfig_path().to_owned(),
            folder: plane.folder().to_owned(),
            images,
            runs: Arc::clone(&runs),
            api_server: plane.address_for_pods(),
            port: port.number(),
            serving,
        };
        background.spawn(async move {
            if let Err(error) = start.run(sender).await {
                eprintln!("closed-loop: node: {error}");
            }
        });
        let registered = tokio::time::timeout(READY_LIMIT, ready).await;
        if !matches!(registered, Ok(Ok(()))) {
            return Err(Error::Missing(format!("node {name} did not start; see the message above")));
        }
        wait_ready(plane, name).await?;
        Ok(Self { background: Some(background), runs, _port: port })
    }

    /// All runs of all containers so far, ended ones included.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.all()
    }

    /// The runs of pods whose names have this prefix.
    pub fn runs_of(&self, namespace: &str, pod_prefix: &str) -> Vec<Arc<Run>> {
        let mut runs = self.runs.all();
        runs.retain(|run| run.namespace == namespace && run.pod.starts_with(pod_prefix));
        runs
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The thread ends first: it would restart the programs.
        drop(self.background.take());
        for run in self.runs.all() {
            run.kill();
        }
    }
}

async fn wait_ready(plane: &ControlPlane, name: &str) -> Result<()> {
    let path = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    wait::until(&format!("node {name} to be Ready"), READY_LIMIT, async || {
        let seen = plane.kubectl(&["get", "node", name, path]).await?.ok()?;
        Ok(if seen == "True" { Ok(()) } else { Err(format!("its condition is {seen:?}")) })
    })
    .await
}

/// The arguments of the node's thread.
struct Start {
    name: String,
    kubeconfig: PathBuf,
    folder: PathBuf,
    images: Images,
    runs: Arc<Runs>,
    api_server: SocketAddr,
    port: u16,
    serving: kcg_devcluster::pki::CertifiedKey,
}

impl Start {
    async fn run(self, ready: tokio::sync::oneshot::Sender<()>) -> Result<()> {
        let client = client_for(&self.kubeconfig).await?;
        kubelet_api::serve(
            SocketAddr::from((NODE_ADDRESS, self.port)),
            &self.serving,
            Arc::clone(&self.runs),
        )
        .await?;
        registration::register(&client, &self.name, self.port).await?;
        tokio::spawn(registration::renew(client.clone(), self.name.clone()));
        let objects = Objects {
            secrets: store::<Secret>(&client).await,
            config_maps: store::<ConfigMap>(&client).await,
        };
        let context = Arc::new(Context {
            client,
            images: self.images,
            folder: self.folder,
            objects,
            runs: self.runs,
            api_server: self.api_server,
        });
        // The receiver is gone only if the start was cancelled.
        let _ = ready.send(());
        watch_pods(context, &self.name).await;
        Ok(())
    }
}

/// A store of all objects of a kind, filled before this returns and updated by a watch.
async fn store<K>(client: &Client) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let events =
        watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().reflect(writer);
    tokio::spawn(events.for_each(|_| std::future::ready(())));
    // The wait fails only if the watch's task has ended, which happens only with the whole node.
    let _ = reader.wait_until_ready().await;
    reader
}

/// Runs a task for each pod that is bound to this node, and passes each change to it. The task ends
/// when the pod is deleted.
async fn watch_pods(context: Arc<Context>, node: &str) {
    let bound = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let pods: Api<Pod> = Api::all(context.client.clone());
    let mut events = std::pin::pin!(watcher(pods, bound).default_backoff());
    let mut tasks: BTreeMap<String, watch::Sender<Pod>> = BTreeMap::new();
    let mut addresses = Addresses::default();
    // The pods of a new list, while it is received.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => seen.clear(),
            // The pods that are not listed were deleted while the watch was down: closing the
            // channel ends their tasks.
            Ok(watcher::Event::InitDone) => tasks.retain(|uid, _| seen.contains(uid)),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(task) = pod.uid().and_then(|uid| tasks.remove(&uid)) {
                    task.send_replace(pod);
                }
            }
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                let Some(uid) = pod.uid() else { continue };
                seen.insert(uid.clone());
                if let Some(task) = tasks.get(&uid) {
                    task.send_replace(pod);
                    continue;
                }
                let (sender, latest) = watch::channel(pod);
                tokio::spawn(Worker::new(Arc::clone(&context), latest, addresses.next()).run());
                tasks.insert(uid, sender);
            }
            // The watcher lists again after an error.
            Err(_) => {}
        }
    }
}

/// Addresses for pods. Each is used once; 65,000 are enough for any run.
#[derive(Default)]
struct Addresses(u16);

impl Addresses {
    fn next(&mut self) -> Ipv4Addr {
        self.0 = self.0.wrapping_add(1);
        let [high, low] = self.0.to_be_bytes();
        // 10.244.0.x belongs to the node, and addresses that end in 0 or 255 are avoided.
        if high == 0 || [0, 255].contains(&low) {
            self.0 = if high == 0 { 256 } else { self.0 };
            return self.next();
        }
        let [first, second, ..] = NODE_ADDRESS.octets();
        Ipv4Addr::new(first, second, high, low)
    }
}
