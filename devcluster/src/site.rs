//! A cluster as a person meets it: every CRD installed, one node on which pods run, the operator in it at will.

use std::path::{Path, PathBuf};

use crate::control_plane::ControlPlane;
use crate::crds::Crds;
use crate::operator::{Certificates, Operator, Replica, build_operator};
use crate::{Error, Result};

/// It ends when it is dropped; fields end in the order in which they stand.
#[derive(Debug)]
pub struct Site {
    /// The webhook and the controller, or nothing.
    pub replicas: Vec<Replica>,
    /// What is installed, or nothing.
    pub operator: Option<Operator>,
    /// The cluster.
    pub plane: ControlPlane,
}

impl Site {
    /// Starts it, with the operator installed from deploy/ for all namespaces, or without.
    pub async fn start(operator: Option<Certificates>) -> Result<Self> {
        // Built before the cluster starts: a mistake in the code shows at once.
        let binary = if operator.is_some() { Some(build_operator().await?) } else { None };
        let plane = ControlPlane::builder().crds(Crds::all(deploy_folder()?.join("crd"))).start().await?;
        plane.add_node("node-1").await?;
        let mut site = Self { replicas: Vec::new(), operator: None, plane };
        if let Some((binary, certificates)) = binary.zip(operator) {
            Box::pin(site.add_operator(&binary, certificates)).await?;
        }
        Ok(site)
    }

    async fn add_operator(&mut self, binary: &Path, certificates: Certificates) -> Result<()> {
        let overlay = deploy_folder()?.join(match certificates {
            Certificates::CertManager => "overlays/cluster/cert-manager",
            Certificates::SelfManaged => "overlays/cluster/self-managed",
            Certificates::Provided => "scopes/cluster",
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

/// The folder `deploy` of this workspace: what a person applies.
pub fn deploy_folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy");
    folder.canonicalize().map_err(Error::file("find", &folder))
}
