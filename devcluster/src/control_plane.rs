//! One running control plane: what it is made of, how it is asked, how it is disturbed.

mod builder;
mod manifests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

pub use builder::Builder;

use crate::audit::AuditLog;
use crate::components::{KWOK_ANNOTATION, Network, Site};
use crate::crds::Crds;
use crate::credentials::{Component, Credentials};
use crate::kubectl::{Answer, Kubectl};
use crate::mutex::lock;
use crate::parts::catalog::{CERT_MANAGER_CRDS, PROMETHEUS_CRD};
use crate::parts::{self, Parts};
use crate::pod_network::NODE_ADDRESS;
use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result, wait};

/// A folder into which the logs are copied when a cluster ends, for a look after a failed test.
pub const LOG_FOLDER: &str = "KCG_DEVCLUSTER_LOGS";
/// How long a component may take until it answers: a busy computer needs many times the usual seconds.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long a ServiceAccount's token is good for, in seconds.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// etcd, kube-apiserver and, unless left out, kube-controller-manager and kube-scheduler, with ports and a
/// folder of their own. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct ControlPlane {
    // Declared first: processes end before their folder goes.
    running: Running,
    parts: Parts,
    credentials: Credentials,
    kubeconfig: PathBuf,
    kubectl: Kubectl,
    audit_log: Option<PathBuf>,
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
    /// Describes one to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// An administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with everything of this cluster; logs are `<program>.log` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The programs it was started from.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// A new administrator's client. It lives on the calling runtime, so tests on several runtimes each take
    /// their own.
    pub async fn client(&self) -> Result<Client> {
        client_for(&self.kubeconfig).await
    }

    /// The administrator's kubectl.
    pub fn kubectl_command(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Runs the administrator's kubectl.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Answer> {
        self.kubectl.run(args).await
    }

    /// A kubectl that speaks as a ServiceAccount.
    pub async fn kubectl_as(&self, namespace: &str, service_account: &str) -> Result<Kubectl> {
        let kubeconfig = self.kubeconfig_for(namespace, service_account).await?;
        Ok(Kubectl::new(self.parts.file("kubectl")?, &kubeconfig, self.folder()))
    }

    /// The variables with which any program reaches this cluster: KUBECONFIG, and a PATH with kubectl on it.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let mut folders = vec![self.parts.kubectl_folder()?.to_owned()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(folders)
            .map_err(|error| Error::Missing(format!("no PATH with kubectl can be made: {error}")))?;
        let mut variables = vec![("PATH", path)];
        variables.extend(self.kubectl.environment().map(|(name, value)| (name, value.into_os_string())));
        Ok(variables)
    }

    /// A token of an existing ServiceAccount, from the TokenRequest API.
    pub async fn token_for(&self, namespace: &str, service_account: &str) -> Result<String> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec =
            TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let action = format!("request a token of ServiceAccount {namespace}/{service_account}");
        let answer = api.create_token_request(service_account, &PostParams::default(), &request).await;
        let status = answer.map_err(Error::kube(&action))?.status;
        status
            .and_then(|status| status.token)
            .ok_or_else(|| Error::Missing(format!("{action}: the answer holds none")))
    }

    /// A kubeconfig with such a token.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let token = self.token_for(namespace, service_account).await?;
        self.credentials.kubeconfig(&format!("{namespace}-{service_account}.kubeconfig"), &token)
    }

    /// The audit log. Fails when the cluster was started without one.
    pub fn audit_log(&self) -> Result<AuditLog> {
        let path = self.audit_log.clone();
        path.map(AuditLog::new).ok_or_else(|| Error::Missing("no audit log: build with .audit(true)".into()))
    }

    /// The certificate authority of the API server, as PEM.
    pub fn authority(&self) -> &str {
        self.credentials.authority()
    }

    /// Where this computer's processes reach the API server.
    pub fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// Where pods reach the API server: the node's address.
    pub fn address_for_pods(&self) -> SocketAddr {
        SocketAddr::from((NODE_ADDRESS, self.api_port.number()))
    }

    /// Starts kwok, which plays the nodes that `add_node` makes and the pods on them; no other node.
    pub fn start_kwok(&self) -> Result<()> {
        let mut kwok = lock(&self.running.kwok);
        if kwok.is_none() {
            *kwok = Some(self.site().kwok()?);
        }
        Ok(())
    }

    /// Starts cert-manager, its controllers and its cainjector, with its CRDs served. Its first start here builds it.
    pub async fn start_cert_manager(&self) -> Result<()> {
        let parts = Parts::cert_manager(&parts::to_stderr).await?;
        let crds = parts.file(CERT_MANAGER_CRDS)?.to_owned();
        self.install_crds(&Crds { own: Some(crds), ..Crds::default() }).await?;
        let site = Site { parts: &parts, ..self.site() };
        *lock(&self.running.cert_manager) = Some(site.cert_manager()?);
        Ok(())
    }

    /// A kubeconfig for prometheus-operator and Prometheus.
    pub fn monitoring_kubeconfig(&self) -> Result<PathBuf> {
        self.credentials.component(Component::Monitoring)
    }

    /// The token in it, and the file with the API server's authority.
    pub fn monitoring_access(&self) -> (String, String) {
        (self.credentials.token(Component::Monitoring), self.credentials.file("ca.crt"))
    }

    /// Installs prometheus-operator's CRD of Prometheus, which no start installs.
    pub async fn install_prometheus_crd(&self) -> Result<()> {
        let crd = self.parts.file(PROMETHEUS_CRD)?.to_owned();
        self.install_crds(&Crds { own: Some(crd), ..Crds::default() }).await
    }

    /// Fails with the end of its log where cert-manager was started and has ended.
    pub(crate) fn cert_manager_must_run(&self) -> Result<()> {
        lock(&self.running.cert_manager).as_ref().map_or(Ok(()), Process::must_run)
    }

    /// Creates a node that kwok plays, and waits until it is Ready.
    pub async fn add_node(&self, name: &str) -> Result<()> {
        self.start_kwok()?;
        let nodes: Api<Node> = Api::all(self.client().await?);
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": { KWOK_ANNOTATION.0: KWOK_ANNOTATION.1 },
                "labels": { "type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
            },
        });
        let node: Node = serde_json::from_value(node)
            .map_err(|error| Error::Parse { what: "the node".into(), reason: error.to_string() })?;
        let created = nodes.create(&PostParams::default(), &node).await;
        created.map_err(Error::kube(format!("create node {name}")))?;
        wait::until(&format!("node {name} to be Ready"), START_LIMIT, async || {
            lock(&self.running.kwok).as_ref().map_or(Ok(()), Process::must_run)?;
            let node = nodes.get(name).await.map_err(Error::kube(format!("get node {name}")))?;
            Ok(if is_ready(&node) { Ok(()) } else { Err("it is not".to_owned()) })
        })
        .await
    }

    /// The names and process ids of what runs now: etcd, the API server, kube-controller-manager, kube-scheduler.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let Running { cert_manager: _, kwok: _, scheduler, controller_manager, apiserver, etcd } =
            &self.running;
        let apiserver = lock(apiserver);
        [etcd.as_ref(), apiserver.as_ref(), controller_manager.as_ref(), scheduler.as_ref()]
            .into_iter()
            .flatten()
            .map(|process| (process.name().to_owned(), process.pid()))
            .collect()
    }

    /// Kills the API server as a crash would. Its port and data stay.
    pub fn stop_apiserver(&self) {
        drop(lock(&self.running.apiserver).take());
    }

    /// Starts the API server again after `stop_apiserver`, and waits until it answers.
    pub async fn start_apiserver(&self) -> Result<()> {
        let started = self.site().apiserver(
            &self.api_port,
            &self.etcd_port,
            self.audit_log.as_deref(),
            self.network,
        )?;
        *lock(&self.running.apiserver) = Some(started);
        self.wait_ready().await
    }

    /// Kills the API server and starts it again on the same port and data.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Stops the API server's clock: connections stay open, nothing is answered.
    pub fn pause_apiserver(&self) -> Result<()> {
        lock(&self.running.apiserver).as_ref().map_or(Ok(()), Process::pause)
    }

    /// Lets the API server go on after `pause_apiserver`.
    pub fn resume_apiserver(&self) -> Result<()> {
        lock(&self.running.apiserver).as_ref().map_or(Ok(()), Process::resume)
    }

    /// Waits until /readyz of the API server says ok.
    pub async fn wait_ready(&self) -> Result<()> {
        let client = self.client().await?;
        wait::until("the API server to be ready", START_LIMIT, async || {
            self.running.etcd.as_ref().map_or(Ok(()), Process::must_run)?;
            lock(&self.running.apiserver).as_ref().map_or(Ok(()), Process::must_run)?;
            Ok(readyz(&client).await)
        })
        .await
    }

    /// Ends it now rather than when it is dropped.
    pub fn shutdown(self) {
        drop(self);
    }

    fn site(&self) -> Site<'_> {
        Site { parts: &self.parts, folder: self.folder.path(), credentials: &self.credentials }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(target) = std::env::var_os(LOG_FOLDER) {
            // The cluster ends in any case; a log that cannot be kept must not hide why.
            let _ = keep_logs(self.folder.path(), &PathBuf::from(target));
        }
    }
}

fn keep_logs(folder: &Path, target: &Path) -> std::io::Result<()> {
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

async fn readyz(client: &Client) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(|_| ()).map_err(|error| error.to_string())
}

/// A client for a kubeconfig file.
pub async fn client_for(kubeconfig: &Path) -> Result<Client> {
    let invalid = |reason: String| Error::Parse { what: kubeconfig.display().to_string(), reason };
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(|error| invalid(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| invalid(error.to_string()))?;
    Client::try_from(config).map_err(Error::kube("make a client"))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
