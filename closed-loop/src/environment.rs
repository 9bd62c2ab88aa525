//! Everything a scenario runs on: the control plane, a node with real pods, Kafka, Prometheus, and
//! the operator as shipped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kcg_devcluster::pod_network::NODE_ADDRESS;
use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{ControlPlane, Crds, Installation, PodRunner, deploy_folder};

use crate::kafka::{Kafka, TopicSynchroniser};
use crate::metrics_adapter::MetricsAdapter;
use crate::monitoring::Monitoring;
use crate::node::{Image, Images, Node};
use crate::programs::Programs;
use crate::settings::Settings;

/// Kafka's address in the manifests. The network is our own, so the port is free.
const KAFKA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(NODE_ADDRESS), 9092);
const NODE: &str = "node-1";

/// The running environment. Dropping it ends everything, in the order of the fields.
#[derive(Debug)]
pub struct Environment {
    /// The custom metrics API.
    pub adapter: MetricsAdapter,
    /// Prometheus and prometheus-operator.
    pub monitoring: Monitoring,
    /// Creates Kafka's topics from KafkaTopics.
    pub topics: TopicSynchroniser,
    /// The broker.
    pub kafka: Kafka,
    /// The node on which all pods run.
    pub node: Node,
    /// The API server and its controllers.
    pub plane: ControlPlane,
}

impl Environment {
    /// Starts all of it, and calls `progress` before each part.
    pub async fn start(
        settings: &Settings,
        programs: &Programs,
        progress: impl Fn(&str) -> Result<()>,
    ) -> Result<Self> {
        progress("etcd, kube-apiserver, kube-controller-manager, kube-scheduler: real")?;
        let plane = ControlPlane::builder()
            .audit(true)
            .pod_network(true)
            .hpa_sync_period(settings.autoscaler_period())
            .crds(Crds::all(deploy_folder()?.join("crd")))
            .start()
            .await?;
        progress(
            "a node that runs pods as local processes, each with its own network address, as a kubelet would",
        )?;
        let node = Node::start(&plane, NODE, images(programs, settings).await?).await?;
        progress("Kafka, one broker in KRaft mode: real")?;
        let kafka = Kafka::start_at(plane.folder(), KAFKA).await?;
        progress(TopicSynchroniser::STAND_IN)?;
        let topics = TopicSynchroniser::start(&plane, &kafka, None)?;
        progress("prometheus-operator, and Prometheus on what it writes: real")?;
        let monitoring = Monitoring::start(&plane).await?;
        progress("the operator: its shipped Deployments, two pods each")?;
        install_operator(&plane).await?;
        progress(MetricsAdapter::STAND_IN)?;
        let rules = deploy_folder()?.join("prometheus-adapter/rules.yaml");
        let rules = std::fs::read_to_string(&rules).with_context(|| format!("read {}", rules.display()))?;
        let adapter = MetricsAdapter::install(&plane, &monitoring, &rules, settings.adapter_relist()).await?;
        Ok(Self { adapter, monitoring, topics, kafka, node, plane })
    }
}

async fn images(programs: &Programs, settings: &Settings) -> Result<Images> {
    let (adapter, program) = MetricsAdapter::image().await?;
    let mut images = programs
        .iter()
        .fold(Images::default().with(adapter, Image::program(program)), |images, (name, program)| {
            images.with(&format!("thenextapps/{name}"), Image::program(program))
        });
    for consumer in settings.consumers() {
        if let Some(java) = consumer.java() {
            images = images.with(&consumer.image(), java.image(&to_stderr).await?);
        }
    }
    Ok(images)
}

async fn install_operator(plane: &ControlPlane) -> Result<()> {
    let overlay = manifests().join("operator");
    let installation = Installation::apply(plane, &overlay, PodRunner::Node).await?;
    installation.wait_available(plane).await?;
    Ok(installation.wait_trusted(plane).await?)
}

/// The folder of the manifests that scenarios apply.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}
