//! A cluster with every CRD, one simulated node, and optionally the operator.

use std::path::{Path, PathBuf};

use crate::control_plane::ControlPlane;
use crate::crds::Crds;
use crate::operator::{CertificateMode, Operator, Replica, build_operator};
use crate::{Error, Result};

/// A running cluster. Dropping it ends everything, in the order of the fields.
#[derive(Debug)]
pub struct TestCluster {
    /// The webhook and the controller, or empty without the operator.
    pub replicas: Vec<Replica>,
    /// The installation, if the cluster was started with the operator.
    pub operator: Option<Operator>,
    /// The control plane.
    pub plane: ControlPlane,
}

impl TestCluster {
    /// Starts a cluster. With a certificate mode, also installs the operator for all namespaces and
    /// starts one replica of the controller and of the webhook.
    pub async fn start(operator: Option<CertificateMode>) -> Result<Self> {
        // Build first: a compile error is reported before the cluster starts.
        let binary = if operator.is_some() { Some(build_operator().await?) } else { None };
        let plane = ControlPlane::builder().crds(Crds::all(deploy_folder()?.join("crd"))).start().await?;
        plane.add_node("node-1").await?;
        let mut cluster = Self { replicas: Vec::new(), operator: None, plane };
        if let Some((binary, mode)) = binary.zip(operator) {
            Box::pin(cluster.add_operator(&binary, mode)).await?;
        }
        Ok(cluster)
    }

    async fn add_operator(&mut self, binary: &Path, mode: CertificateMode) -> Result<()> {
        let overlay = deploy_folder()?.join(match mode {
            CertificateMode::CertManager => "overlays/cluster/cert-manager",
            CertificateMode::SelfManaged => "overlays/cluster/self-managed",
            CertificateMode::Provided => "scopes/cluster",
        });
        let operator = Operator::install(&self.plane, &overlay, binary).await?;
        let (webhook, controller) =
            tokio::try_join!(operator.start_webhook(&[]), operator.start_controller("controller", &[]))?;
        operator.wait_trusted(&self.plane).await?;
        self.replicas = vec![webhook, controller];
        self.operator = Some(operator);
        Ok(())
    }
}

/// The folder `deploy` of this workspace.
pub fn deploy_folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy");
    folder.canonicalize().map_err(Error::file("find", &folder))
}
