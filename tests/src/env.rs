//! Control planes, and the operator installed in one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kcg_devcluster::tools::catalog::{PROMETHEUS_OPERATOR_CRDS, Tool};
use kcg_devcluster::{ControlPlane, Crds, Operator, Tools, tools};
use kube::Client;
use serde_json::json;

use crate::certificate::WebhookCertificate;
use crate::namespace::Namespace;
use crate::{deploy, eventually, kubectl, met, operator_binary};

/// The product's CRD, Strimzi's and prometheus-operator's.
pub fn all_crds() -> Crds {
    Crds::all(deploy("crd"))
}

/// The product's CRD alone.
pub fn own_crd() -> Crds {
    Crds { manifests: Some(deploy("crd")), ..Crds::default() }
}

/// Strimzi's and prometheus-operator's CRDs, without the product's.
pub fn foreign_crds() -> Crds {
    Crds { manifests: None, ..all_crds() }
}

const POD_MONITOR_CRD: &str = "pod-monitor-crd.yaml";

static POD_MONITOR: Tool = Tool {
    data: &[(POD_MONITOR_CRD, &["example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"])],
    ..PROMETHEUS_OPERATOR_CRDS
};

/// Installs the CRD of the operator's own monitor, which no control plane has by default.
pub async fn install_pod_monitor_crd(plane: &ControlPlane) -> kcg_devcluster::Result<()> {
    let tools = Tools::of([&POD_MONITOR], &tools::to_stderr).await?;
    let manifests = Some(tools.file(POD_MONITOR_CRD)?.to_owned());
    plane.install_crds(&Crds { manifests, ..Crds::default() }).await
}

/// etcd and the API server alone, which starts in the shortest time.
pub async fn api_server(crds: Crds) -> kcg_devcluster::Result<ControlPlane> {
    ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await
}

/// A control plane with the operator installed from an overlay. No process of the operator runs
/// yet. Fields are dropped in their order.
pub struct TestEnv {
    /// Starts the processes of the operator.
    pub operator: Operator,
    /// The certificate of its webhook.
    pub certificate: WebhookCertificate,
    /// An administrator's client.
    pub client: Client,
    /// The control plane.
    pub plane: ControlPlane,
}

impl TestEnv {
    /// Installs an overlay.
    pub async fn install(plane: ControlPlane, overlay: &Path) -> Result<Self> {
        let operator = Operator::install(&plane, overlay, operator_binary().await?).await?;
        let client = plane.client().await?;
        Ok(Self { operator, certificate: WebhookCertificate::new(&client), client, plane })
    }

    /// Standard output of the administrator's kubectl; fails if kubectl does.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        kubectl::run(&self.plane, args).await
    }

    /// The address of the webhook that the webhook configurations name.
    pub fn webhook_address(&self) -> SocketAddr {
        self.operator.webhook_port().address()
    }

    /// Creates an object from `deploy/samples`.
    pub async fn create_sample(&self, name: &str) -> Result<String> {
        self.kubectl(&["create", "-f", &deploy("samples").join(name).display().to_string()]).await
    }

    /// Waits until the webhook refuses a sample that only a webhook that knows the samples' topic
    /// can refuse.
    pub async fn reviews_work(&self) -> Result<()> {
        let sample = deploy("samples/bad-min-above-partitions.yaml").display().to_string();
        let create = ["create", "--dry-run=server", "-f", &sample];
        eventually("the webhook knows the topic", Duration::from_secs(30), async || {
            let answer = self.plane.kubectl(&create).await?;
            let refused = answer.stderr.contains("topic fast-data-topic has 3 partitions");
            Ok(met(refused, || answer.stderr + &answer.stdout))
        })
        .await
    }

    /// A namespace, which is created if it does not exist.
    pub async fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::create(&self.plane, &self.client, name).await
    }

    /// A namespace that exists.
    pub fn existing_namespace(&self, name: &str) -> Namespace {
        Namespace::new(&self.plane, &self.client, name)
    }

    /// A namespace with the topic of the samples, `fast-data-topic` with three partitions.
    pub async fn namespace_with_a_topic(&self, name: &str) -> Result<Namespace> {
        let namespace = self.namespace(name).await?;
        namespace.create_topic("fast-data-topic", 3).await?;
        Ok(namespace)
    }

    /// A namespace with that topic and a group of it, `kconsumer`, that is ready.
    pub async fn namespace_with_a_group(&self, name: &str) -> Result<Namespace> {
        let namespace = self.namespace_with_a_topic(name).await?;
        namespace.create_group("kconsumer", &json!({})).await?;
        namespace.group_is_ready("kconsumer").await?;
        Ok(namespace)
    }
}

/// How long anything may take: a computer with two cores runs several tests at once.
pub const LIMIT: Duration = Duration::from_mins(1);
