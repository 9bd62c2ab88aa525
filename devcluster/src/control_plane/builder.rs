//! Configures and starts a control plane.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use super::{ControlPlane, Running};
use crate::components::{ComponentLauncher, Network};
use crate::crds::Crds;
use crate::credentials::{Component, Credentials};
use crate::kubectl::Kubectl;
use crate::port::Port;
use crate::tools::{self, Tools};
use crate::{Result, reaper};

/// The configuration of a control plane. The default runs all components, without audit log and
/// CRDs, and with a fast autoscaler.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    audit: bool,
    admission_configuration: Option<PathBuf>,
    controller_manager: bool,
    controllers: &'static str,
    scheduler: bool,
    crds: Crds,
    hpa_period: Duration,
    hpa_stabilization: Duration,
    network: Network,
    etcd_quota: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            audit: false,
            admission_configuration: None,
            controller_manager: true,
            controllers: "*",
            scheduler: true,
            crds: Crds::default(),
            hpa_period: Duration::from_secs(2),
            hpa_stabilization: Duration::from_secs(20),
            network: Network::Loopback,
            etcd_quota: None,
        }
    }
}

impl Builder {
    /// Whether the API server writes an audit log (default: no).
    pub fn audit(mut self, yes: bool) -> Self {
        self.audit = yes;
        self
    }

    /// The API server's AdmissionConfiguration (default: none), for instance with the certificates that
    /// it presents to webhooks. The API server reads it at each start.
    pub fn admission_configuration(mut self, file: PathBuf) -> Self {
        self.admission_configuration = Some(file);
        self
    }

    /// Whether kube-controller-manager runs (default: yes). Without it there is no garbage
    /// collection and no scaling.
    pub fn controller_manager(mut self, yes: bool) -> Self {
        self.controller_manager = yes;
        self
    }

    /// Which controllers kube-controller-manager runs, as its flag `--controllers` takes them (default:
    /// `*`).
    pub fn controllers(mut self, names: &'static str) -> Self {
        self.controllers = names;
        self
    }

    /// Whether kube-scheduler runs (default: yes).
    pub fn scheduler(mut self, yes: bool) -> Self {
        self.scheduler = yes;
        self
    }

    /// The CRDs to install at the start (default: none).
    pub fn crds(mut self, crds: Crds) -> Self {
        self.crds = crds;
        self
    }

    /// The sync period of the autoscaler (default: 2 s; Kubernetes' default is 15 s).
    pub fn hpa_sync_period(mut self, period: Duration) -> Self {
        self.hpa_period = period;
        self
    }

    /// The downscale stabilization window of HPAs that do not set their own (default: 20 s;
    /// Kubernetes' default is 5 minutes).
    pub fn hpa_downscale_stabilization(mut self, window: Duration) -> Self {
        self.hpa_stabilization = window;
        self
    }

    /// Whether pods are real and have IP addresses (default: no). If so, the API server listens at
    /// the node's address, connects to the pods of webhooks and aggregated APIs directly because
    /// there is no kube-proxy, and gives pods their ServiceAccount tokens. Requires
    /// [`crate::pod_network`].
    pub fn pod_network(mut self, yes: bool) -> Self {
        self.network = if yes { Network::Pods } else { Network::Loopback };
        self
    }

    /// The most bytes of etcd's database (default: etcd's own limit, 2 GB).
    pub fn etcd_quota(mut self, bytes: u64) -> Self {
        self.etcd_quota = Some(bytes);
        self
    }

    /// Starts the control plane and waits until it is ready and serves the CRDs. Builds missing
    /// tools first and reports progress on standard error.
    pub async fn start(self) -> Result<ControlPlane> {
        // Boxed to keep the callers' futures small.
        Box::pin(self.start_now()).await
    }

    async fn start_now(self) -> Result<ControlPlane> {
        let tools = Tools::ensure(&tools::to_stderr).await?;
        let folder = reaper::temporary_folder()?;
        let [api_port, etcd_port, peer_port] = [Port::take()?, Port::take()?, Port::take()?];
        let credentials = Credentials::create(folder.path(), format!("https://127.0.0.1:{api_port}"))?;
        let kubeconfig = credentials.component(Component::Admin)?;
        let kubectl = Kubectl::new(tools.file("kubectl")?, &kubeconfig, folder.path());
        let audit_log = self.audit.then(|| folder.path().join("audit.json"));

        let launcher = ComponentLauncher { tools: &tools, folder: folder.path(), credentials: &credentials };
        let etcd = Some(launcher.etcd(&etcd_port, &peer_port, self.etcd_quota)?);
        let apiserver = launcher.apiserver(
            &api_port,
            &etcd_port,
            audit_log.as_deref(),
            self.admission_configuration.as_deref(),
            self.network,
        )?;
        let running = Running { apiserver: Mutex::new(Some(apiserver)), etcd, ..Running::default() };
        let mut plane = ControlPlane {
            running,
            tools,
            credentials,
            kubeconfig,
            kubectl,
            audit_log,
            admission_configuration: self.admission_configuration.clone(),
            network: self.network,
            api_port,
            etcd_port,
            _etcd_peer_port: peer_port,
            folder,
        };
        plane.wait_ready().await?;
        // CRDs come first: the garbage collector discovers new kinds only every 30 seconds.
        plane.install_crds(&self.crds).await?;
        self.start_controllers(&mut plane)?;
        Ok(plane)
    }

    /// Call it when the API server is ready: kube-controller-manager exits after ten seconds
    /// without it.
    fn start_controllers(&self, plane: &mut ControlPlane) -> Result<()> {
        let launcher = plane.launcher();
        let controllers =
            || launcher.controller_manager(self.controllers, self.hpa_period, self.hpa_stabilization);
        let controller_manager = self.controller_manager.then(controllers).transpose()?;
        let scheduler = self.scheduler.then(|| launcher.scheduler()).transpose()?;
        plane.running.controller_manager = controller_manager;
        plane.running.scheduler = scheduler;
        Ok(())
    }
}
