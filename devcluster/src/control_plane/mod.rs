//! A running control plane: its processes, its files, and access to it.

mod access;
mod addons;
mod apiserver;
mod builder;
mod etcd;
mod manifests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

pub use access::client_for;
pub use builder::Builder;

use crate::audit::AuditLog;
use crate::components::{ComponentLauncher, Network};
use crate::credentials::Credentials;
use crate::kubectl::Kubectl;
use crate::pod_network::NODE_ADDRESS;
use crate::port::Port;
use crate::process::Process;
use crate::tools::Tools;
use crate::{Error, Result};

/// The environment variable that names a folder for logs: they are copied there when a cluster
/// ends.
pub const LOG_FOLDER: &str = "KCG_DEVCLUSTER_LOGS";
/// The timeout for a component to become ready: a busy computer takes many times as long as usual.
const START_LIMIT: Duration = Duration::from_mins(2);

/// etcd, kube-apiserver and, by default, kube-controller-manager and kube-scheduler, with their own
/// ports and folder. Dropping it kills the processes and removes the folder.
#[derive(Debug)]
pub struct ControlPlane {
    // Declared first: fields are dropped in order, and the processes must end before the folder is
    // removed.
    running: Running,
    tools: Tools,
    credentials: Credentials,
    kubeconfig: PathBuf,
    kubectl: Kubectl,
    audit_log: Option<PathBuf>,
    admission_configuration: Option<PathBuf>,
    network: Network,
    api_port: Port,
    etcd_port: Port,
    _etcd_peer_port: Port,
    folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Running {
    cert_manager: Mutex<Option<Process>>,
    kwok: Mutex<Option<Process>>,
    scheduler: Option<Process>,
    controller_manager: Option<Process>,
    apiserver: Mutex<Option<Process>>,
    etcd: Option<Process>,
}

impl ControlPlane {
    /// Returns a builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The folder with all files of this cluster. The log of each program is `<program>.log` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The programs that this cluster runs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The audit log. Returns an error if the cluster was started without one.
    pub fn audit_log(&self) -> Result<AuditLog> {
        let path = self.audit_log.clone();
        path.map(AuditLog::new).ok_or_else(|| {
            Error::Missing("this cluster has no audit log: start it with Builder::audit(true)".into())
        })
    }

    /// The certificate of the API server's CA as PEM.
    pub fn ca(&self) -> &str {
        self.credentials.ca()
    }

    /// The URL of the API server for processes on this computer.
    pub fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// The address of the API server for pods: the node's.
    pub fn address_for_pods(&self) -> SocketAddr {
        SocketAddr::from((NODE_ADDRESS, self.api_port.number()))
    }

    /// The names and process IDs of the running etcd, kube-apiserver, kube-controller-manager and
    /// kube-scheduler.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let Running { cert_manager: _, kwok: _, scheduler, controller_manager, apiserver, etcd } =
            &self.running;
        let apiserver = apiserver.lock();
        [etcd.as_ref(), apiserver.as_ref(), controller_manager.as_ref(), scheduler.as_ref()]
            .into_iter()
            .flatten()
            .map(|process| (process.name().to_owned(), process.pid()))
            .collect()
    }

    /// Ends the cluster now. Dropping it has the same effect.
    pub fn shutdown(self) {
        drop(self);
    }

    fn launcher(&self) -> ComponentLauncher<'_> {
        ComponentLauncher { tools: &self.tools, folder: self.folder.path(), credentials: &self.credentials }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(target) = std::env::var_os(LOG_FOLDER) {
            // A failed copy must not hide why the cluster ends.
            let _ = copy_logs(self.folder.path(), &PathBuf::from(target));
        }
    }
}

fn copy_logs(folder: &Path, target: &Path) -> std::io::Result<()> {
    let target = target.join(folder.file_name().unwrap_or_default());
    std::fs::create_dir_all(&target)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "log")) {
            std::fs::copy(&path, target.join(name))?;
        }
    }
    Ok(())
}
