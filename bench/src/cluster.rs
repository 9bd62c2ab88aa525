//! A control plane of etcd and the API server alone. Each measurement of a burst has a new one, so that
//! nothing is left of the measurement before.

use std::path::Path;

use anyhow::{Context, Result};
use kcg_devcluster::{ControlPlane, Crds, deploy_folder, usage};
use kube::Client;

use crate::kinds::{GROUP, get};
use crate::machine;

/// etcd and an API server with every CRD.
pub struct Cluster {
    pub plane: ControlPlane,
    /// The administrator's.
    pub client: Client,
    pinned: bool,
}

impl Cluster {
    /// `pinned`: on other cores than what is measured.
    pub async fn start(pinned: bool) -> Result<Self> {
        let crds = Crds::all(deploy_folder()?.join("crd"));
        let builder = ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds);
        let plane = builder.start().await?;
        let client = plane.client().await?;
        let cluster = Self { plane, client, pinned };
        cluster.pin().await?;
        Ok(cluster)
    }

    /// Restarts the API server at the same port, and removes the history of etcd. The watches end, and their
    /// resource versions are too old for the new one: with the history, it would go on where they ended.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.plane.stop_apiserver();
        self.plane.free_etcd().await?;
        self.plane.start_apiserver().await?;
        self.pin().await
    }

    async fn pin(&self) -> Result<()> {
        if self.pinned {
            for (_, pid) in self.plane.processes() {
                machine::pin(pid, machine::Side::ControlPlane).await?;
            }
        }
        Ok(())
    }

    /// Whether the sides are kept on different cores.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// CPU seconds of the API server so far.
    pub fn apiserver_cpu(&self) -> Result<f64> {
        let processes = self.plane.processes();
        let apiserver = processes.iter().find(|(name, _)| name == "kube-apiserver");
        let cpu = apiserver.and_then(|(_, pid)| usage::cpu_seconds(*pid));
        cpu.context("the API server has ended")
    }

    /// How many lists of groups the API server has answered since its start, by its metrics.
    pub async fn lists_of_groups(&self) -> Result<f64> {
        let metrics =
            self.client.request_text(get("/metrics")).await.context("read the API server's metrics")?;
        let resource = format!("resource=\"{}\"", GROUP.plural);
        let is_list = |line: &&str| {
            line.starts_with("apiserver_request_total{")
                && line.contains(&resource)
                && line.contains("verb=\"LIST\"")
        };
        let counts =
            metrics.lines().filter(is_list).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        // Of no samples the sum is -0.
        Ok(counts.sum::<f64>() + 0.0)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.plane.kubeconfig_path()
    }
}
