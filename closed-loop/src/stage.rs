//! All that the story is played on: the control plane, a node with real pods, Kafka, Prometheus, and the operator as it
//! is shipped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::{Images, Kafka, MetricsAdapter, Monitoring, Node, Programs, TopicSynchroniser};
use anyhow::{Context, Result};
use kcg_devcluster::pod_network::NODE_ADDRESS;
use kcg_devcluster::{ControlPlane, Crds, Installation, PodRunner, deploy_folder};

use super::settings::Settings;

/// Where the manifests say that Kafka is. The network is our own: no port in it is taken.
const KAFKA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(NODE_ADDRESS), 9092);
const NODE: &str = "node-1";
/// The operator's namespace, as it is shipped.
pub const OPERATOR: &str = "kconsumer-group-operator";

/// It ends when it is dropped; fields end in the order in which they stand.
#[derive(Debug)]
pub struct Stage {
    pub adapter: MetricsAdapter,
    pub monitoring: Monitoring,
    pub topics: TopicSynchroniser,
    pub kafka: Kafka,
    pub node: Node,
    pub plane: ControlPlane,
}

impl Stage {
    /// Starts all of it; `say` hears of each step.
    pub async fn start(
        settings: &Settings,
        programs: &Programs,
        say: impl Fn(&str) -> Result<()>,
    ) -> Result<Self> {
        say("etcd, kube-apiserver, kube-controller-manager, kube-scheduler: real")?;
        let plane = ControlPlane::builder()
            .audit(true)
            .pod_network(true)
            .hpa_sync_period(settings.autoscaler_period())
            .crds(Crds::all(deploy_folder()?.join("crd")))
            .start()
            .await?;
        say("a node that runs pods as local processes, each with a network of its own, as a kubelet would")?;
        let node = Node::start(&plane, NODE, images(programs).await?).await?;
        say("Kafka, one broker in KRaft mode: real")?;
        let kafka = Kafka::start_at(plane.folder(), KAFKA).await?;
        say(TopicSynchroniser::STAND_IN)?;
        let topics = TopicSynchroniser::start(&plane, &kafka, None)?;
        say("prometheus-operator, and Prometheus on what it writes: real")?;
        let monitoring = Monitoring::start(&plane).await?;
        say("the operator: its shipped Deployments, two pods each")?;
        install_operator(&plane).await?;
        say(MetricsAdapter::STAND_IN)?;
        let rules = deploy_folder()?.join("prometheus-adapter/rules.yaml");
        let rules = std::fs::read_to_string(&rules).with_context(|| format!("read {}", rules.display()))?;
        let adapter = MetricsAdapter::install(&plane, &monitoring, &rules, settings.adapter_relist()).await?;
        Ok(Self { adapter, monitoring, topics, kafka, node, plane })
    }
}

async fn images(programs: &Programs) -> Result<Images> {
    let (adapter, program) = MetricsAdapter::image().await?;
    Ok(programs.iter().fold(Images::default().with(adapter, program), |images, (name, program)| {
        images.with(&format!("thenextapps/{name}"), program)
    }))
}

async fn install_operator(plane: &ControlPlane) -> Result<()> {
    let overlay = manifests().join("operator");
    let installation = Installation::apply(plane, &overlay, PodRunner::Node).await?;
    installation.wait_available(plane).await?;
    Ok(installation.wait_trusted(plane).await?)
}

/// The folder with what the story applies.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}
