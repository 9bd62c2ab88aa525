//! A node that runs pods as local processes: what a kubelet and a container runtime would be.
//!
//! It takes the pods that are bound to it. Each gets a network and an address of its own and a root with its volumes;
//! its image stands for a program of this computer ([`Images`]), which is started with the container's arguments and
//! environment, probed, restarted, and ended with its grace period. What it does not do is said in the pod's status: pods
//! of several containers, init containers, exec probes, preStop hooks but sleep. Users, limits and security contexts are
//! not enforced. One node is enough for a cluster: a second would give out the same addresses.

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
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub use images::Images;
pub use runs::Run;

use kcg_devcluster::Background;
use kcg_devcluster::Port;
use kcg_devcluster::pki::Ca;
use kcg_devcluster::pod_network::{self, NODE_ADDRESS};
use kcg_devcluster::wait;
use kcg_devcluster::{ControlPlane, client_for};

use crate::{Error, Result};
use pod::Worker;
use runs::Runs;
use volumes::Objects;

const READY_LIMIT: Duration = Duration::from_mins(1);

/// What all pods' tasks share.
pub(crate) struct Context {
    client: Client,
    images: Images,
    folder: PathBuf,
    objects: Objects,
    runs: Arc<Runs>,
    api_server: SocketAddr,
}

impl Context {
    /// The file of a run: the first has the plain name, later ones, of a later pod of that name, too, are numbered.
    fn log_path(&self, name: &str) -> PathBuf {
        let numbered = (1_u32..).map(|number| self.folder.join(format!("{name}_{number}.log")));
        let plain = self.folder.join(format!("{name}.log"));
        let mut paths = std::iter::once(plain.clone()).chain(numbered);
        paths.find(|path| !path.exists()).unwrap_or(plain)
    }
}

/// The node. Dropping it ends all its pods' programs at once, as a power cut would.
#[derive(Debug)]
pub struct Node {
    background: Option<Background>,
    runs: Arc<Runs>,
    _port: Port,
}

impl Node {
    /// Registers a node and begins to run what is bound to it, inside of the pod network.
    pub async fn start(plane: &ControlPlane, name: &str, images: Images) -> Result<Self> {
        if !pod_network::is_inside() {
            return Err(Error::Missing(
                "a node with real pods starts inside of the pod network alone".into(),
            ));
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
                eprintln!("devcluster: node: {error}");
            }
        });
        let registered = tokio::time::timeout(READY_LIMIT, ready).await;
        if !matches!(registered, Ok(Ok(()))) {
            return Err(Error::Missing(format!("node {name} did not start; see above")));
        }
        wait_ready(plane, name).await?;
        Ok(Self { background: Some(background), runs, _port: port })
    }

    /// All runs of all containers so far, those that have ended, too.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.all()
    }

    /// The runs whose pod's name begins so.
    pub fn runs_of(&self, namespace: &str, pod_prefix: &str) -> Vec<Arc<Run>> {
        let mut runs = self.runs.all();
        runs.retain(|run| run.namespace == namespace && run.pod.starts_with(pod_prefix));
        runs
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // First its thread, which would start them again.
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
        Ok(if seen == "True" { Ok(()) } else { Err(format!("it says {seen:?}")) })
    })
    .await
}

/// What the node's thread starts from.
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
        // The other end is gone only where the start was given up.
        let _ = ready.send(());
        follow_pods(context, &self.name).await;
        Ok(())
    }
}

/// A watch of all objects of a kind, filled before this returns.
async fn store<K>(client: &Client) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let events =
        watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().reflect(writer);
    tokio::spawn(events.for_each(|_| std::future::ready(())));
    // It fails only where the watch's task is gone, and with it everything here.
    let _ = reader.wait_until_ready().await;
    reader
}

/// A task for each pod that is bound here, told of each change; it ends when the pod is gone.
async fn follow_pods(context: Arc<Context>, node: &str) {
    let bound = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let pods: Api<Pod> = Api::all(context.client.clone());
    let mut events = std::pin::pin!(watcher(pods, bound).default_backoff());
    let mut tasks: BTreeMap<String, watch::Sender<Pod>> = BTreeMap::new();
    let mut addresses = Addresses::default();
    // Seen since the watch began anew, while it does.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => seen.clear(),
            // A task whose pod vanished while nobody watched sees its channel closed.
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
            // The watch begins anew by itself.
            Err(_) => {}
        }
    }
}

/// Addresses for pods, each used once: 65,000 pods are more than a story has.
#[derive(Default)]
struct Addresses(u16);

impl Addresses {
    fn next(&mut self) -> Ipv4Addr {
        self.0 = self.0.wrapping_add(1);
        let [high, low] = self.0.to_be_bytes();
        // 10.244.0.x is the node's own part, and an address that ends in 0 or 255 looks like none.
        if high == 0 || [0, 255].contains(&low) {
            self.0 = if high == 0 { 256 } else { self.0 };
            return self.next();
        }
        let [first, second, ..] = NODE_ADDRESS.octets();
        Ipv4Addr::new(first, second, high, low)
    }
}
