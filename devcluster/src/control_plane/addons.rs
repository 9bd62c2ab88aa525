//! Optional components of a running control plane: kwok with its nodes, cert-manager, Prometheus'
//! CRD.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{ControlPlane, START_LIMIT};
use crate::components::{ComponentLauncher, KWOK_ANNOTATION};
use crate::crds::Crds;
use crate::process::Process;
use crate::tools::catalog::{CERT_MANAGER_CRDS, PROMETHEUS_CRD};
use crate::tools::{self, Tools};
use crate::{Error, Result, wait};

impl ControlPlane {
    /// Starts kwok, which simulates the nodes that [`Self::add_node`] creates, and the pods on
    /// them.
    pub fn start_kwok(&self) -> Result<()> {
        let mut kwok = self.running.kwok.lock();
        if kwok.is_none() {
            *kwok = Some(self.launcher().kwok()?);
        }
        Ok(())
    }

    /// Creates a node that kwok simulates, and waits until it is Ready.
    pub async fn add_node(&self, name: &str) -> Result<()> {
        self.start_kwok()?;
        let nodes: Api<Node> = Api::all(self.client().await?);
        let (annotation, value) = KWOK_ANNOTATION;
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": { annotation: value },
                "labels": { "type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
            },
        });
        let node: Node = serde_json::from_value(node)
            .map_err(|error| Error::Parse { what: "the node".into(), reason: error.to_string() })?;
        let created = nodes.create(&PostParams::default(), &node).await;
        created.map_err(Error::kube(format!("create node {name}")))?;
        wait::until(&format!("node {name} to be Ready"), START_LIMIT, async || {
            self.running.kwok.lock().as_ref().map_or(Ok(()), Process::must_run)?;
            let node = nodes.get(name).await.map_err(Error::kube(format!("get node {name}")))?;
            Ok(if is_ready(&node) { Ok(()) } else { Err("it is not Ready".to_owned()) })
        })
        .await
    }

    /// Installs cert-manager's CRDs and starts its controllers and its cainjector. The first start
    /// on a computer builds it.
    pub async fn start_cert_manager(&self) -> Result<()> {
        let tools = Tools::cert_manager(&tools::to_stderr).await?;
        let crds = tools.file(CERT_MANAGER_CRDS)?.to_owned();
        self.install_crds(&Crds { manifests: Some(crds), ..Crds::default() }).await?;
        let launcher = ComponentLauncher { tools: &tools, ..self.launcher() };
        *self.running.cert_manager.lock() = Some(launcher.cert_manager()?);
        Ok(())
    }

    /// Installs the CRD Prometheus, which no cluster has by default.
    pub async fn install_prometheus_crd(&self) -> Result<()> {
        let crd = self.tools.file(PROMETHEUS_CRD)?.to_owned();
        self.install_crds(&Crds { manifests: Some(crd), ..Crds::default() }).await
    }

    /// Returns an error with the last lines of the log if cert-manager was started and has exited.
    pub(crate) fn cert_manager_must_run(&self) -> Result<()> {
        self.running.cert_manager.lock().as_ref().map_or(Ok(()), Process::must_run)
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
