//! What a control plane is to be like, and its start.

use std::sync::Mutex;
use std::time::Duration;

use super::{ControlPlane, Running};
use crate::components::{Network, Site};
use crate::crds::Crds;
use crate::credentials::{Component, Credentials};
use crate::kubectl::Kubectl;
use crate::parts::{self, Parts};
use crate::port::Port;
use crate::{Result, watcher};

/// A control plane to start. By default: all components, no audit log, no CRDs, a quick autoscaler.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    audit: bool,
    controller_manager: bool,
    scheduler: bool,
    crds: Crds,
    hpa_period: Duration,
    hpa_stabilization: Duration,
    network: Network,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            audit: false,
            controller_manager: true,
            scheduler: true,
            crds: Crds::default(),
            hpa_period: Duration::from_secs(2),
            hpa_stabilization: Duration::from_secs(20),
            network: Network::Loopback,
        }
    }
}

impl Builder {
    /// Whether the API server logs every request (default: no).
    pub fn audit(mut self, yes: bool) -> Self {
        self.audit = yes;
        self
    }

    /// Whether kube-controller-manager runs (default: yes). Without it nothing is collected or scaled.
    pub fn controller_manager(mut self, yes: bool) -> Self {
        self.controller_manager = yes;
        self
    }

    /// Whether kube-scheduler runs (default: yes).
    pub fn scheduler(mut self, yes: bool) -> Self {
        self.scheduler = yes;
        self
    }

    /// The custom resources to serve from the start (default: none).
    pub fn crds(mut self, crds: Crds) -> Self {
        self.crds = crds;
        self
    }

    /// How often the autoscaler looks (default: 2 s; Kubernetes' own is 15 s).
    pub fn hpa_sync_period(mut self, period: Duration) -> Self {
        self.hpa_period = period;
        self
    }

    /// How long the autoscaler waits before it scales down, where an HPA says nothing itself (default: 20 s;
    /// Kubernetes' own is 5 minutes).
    pub fn hpa_downscale_stabilization(mut self, window: Duration) -> Self {
        self.hpa_stabilization = window;
        self
    }

    /// Whether pods are real and have addresses (default: no): the API server then listens for them at the node's
    /// address, reaches webhooks and aggregated APIs at their pods, since there is no kube-proxy, and gives pods
    /// their ServiceAccounts' tokens. Only inside of [`crate::pod_network`].
    pub fn pod_network(mut self, yes: bool) -> Self {
        self.network = if yes { Network::Pods } else { Network::Loopback };
        self
    }

    /// Starts it and waits until it answers and serves the CRDs; builds the parts first where they are missing,
    /// with progress on standard error.
    pub async fn start(self) -> Result<ControlPlane> {
        // Boxed, so that the futures of all who start one stay small.
        Box::pin(self.start_now()).await
    }

    async fn start_now(self) -> Result<ControlPlane> {
        let parts = Parts::ensure(&parts::to_stderr).await?;
        let folder = watcher::temporary_folder()?;
        let [api_port, etcd_port, peer_port] = [Port::take()?, Port::take()?, Port::take()?];
        let credentials = Credentials::create(folder.path(), format!("https://127.0.0.1:{api_port}"))?;
        let kubeconfig = credentials.component(Component::Admin)?;
        let kubectl = Kubectl::new(parts.file("kubectl")?, &kubeconfig, folder.path());
        let audit_log = self.audit.then(|| folder.path().join("audit.json"));

        let site = Site { parts: &parts, folder: folder.path(), credentials: &credentials };
        let etcd = Some(site.etcd(&etcd_port, &peer_port)?);
        let apiserver =
            Mutex::new(Some(site.apiserver(&api_port, &etcd_port, audit_log.as_deref(), self.network)?));
        let running = Running { apiserver, etcd, ..Running::default() };
        let mut plane = ControlPlane {
            running,
            parts,
            credentials,
            kubeconfig,
            kubectl,
            audit_log,
            network: self.network,
            api_port,
            etcd_port,
            _etcd_peer_port: peer_port,
            folder,
        };
        plane.wait_ready().await?;
        // First the CRDs: the garbage collector looks for new kinds only every half minute.
        plane.install_crds(&self.crds).await?;
        self.start_controllers(&mut plane)?;
        Ok(plane)
    }

    /// Only once the API server answers: kube-controller-manager gives up after ten seconds without it.
    fn start_controllers(&self, plane: &mut ControlPlane) -> Result<()> {
        let site = plane.site();
        let controllers = || site.controller_manager(self.hpa_period, self.hpa_stabilization);
        let controller_manager = self.controller_manager.then(controllers).transpose()?;
        let scheduler = self.scheduler.then(|| site.scheduler()).transpose()?;
        plane.running.controller_manager = controller_manager;
        plane.running.scheduler = scheduler;
        Ok(())
    }
}
