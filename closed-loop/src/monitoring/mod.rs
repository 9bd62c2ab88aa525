//! The real prometheus-operator and Prometheus.
//!
//! The operator writes Prometheus' configuration (a Secret) and its rules (ConfigMaps) from
//! ServiceMonitors, PodMonitors and PrometheusRules. Its StatefulSet for Prometheus has no pods
//! here. Prometheus runs as a local process on what the operator has written, and is reloaded after
//! each change.

mod answers;
mod configuration;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kcg_devcluster::tools::{Tools, to_stderr};
use kcg_devcluster::{Background, ControlPlane, Crds, Port, Process, plain_http, pod_network, wait};
use serde_json::json;

pub use answers::{Alert, AlertState, Sample, Series};

use crate::tools::{self, FURTHER_MONITORING_CRDS};
use crate::{Error, Result};

/// The namespace and name of the Prometheus object, as in kube-prometheus, so that labels made for
/// it match.
const NAMESPACE: &str = "monitoring";
const NAME: &str = "k8s";
/// The operator's program.
const OPERATOR: &str = "prometheus-operator";
const START_LIMIT: Duration = Duration::from_mins(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Both running programs. They end with the last clone of this value.
#[derive(Debug, Clone)]
pub struct Monitoring(Arc<Running>);

#[derive(Debug)]
struct Running {
    // Declared first, so that the reloading task ends before Prometheus.
    background: Background,
    prometheus: Arc<Process>,
    operator: Process,
    address: SocketAddr,
    _port: Port,
}

impl Monitoring {
    /// Starts both, and waits until Prometheus runs on the operator's configuration. The first
    /// start builds them.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let tools = tools::monitoring(&to_stderr).await?;
        plane.install_prometheus_crd().await?;
        let further = tools.file(FURTHER_MONITORING_CRDS)?.to_owned();
        plane
            .install_crds(&Crds { manifests: Some(further), prometheus_operator: true, ..Crds::default() })
            .await?;
        let folder = plane.folder().join("prometheus");
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        plane.apply_yaml(&prometheus_object(plane, &folder)?).await?;
        let operator = start_operator(plane, &tools)?;
        let port = Port::take()?;
        let host = if pod_network::is_inside() { pod_network::NODE_ADDRESS } else { Ipv4Addr::LOCALHOST };
        let address = SocketAddr::from((host, port.number()));

        let sync = configuration::ConfigurationSync::connect(plane, NAMESPACE, NAME, folder.clone()).await?;
        let what = "prometheus-operator to write Prometheus' configuration";
        let files = wait::until(what, START_LIMIT, async || {
            operator.must_run()?;
            let files = sync.copy().await.map_err(|error| error.to_string());
            Ok(files.and_then(|files| files.ok_or_else(|| "there is none".to_owned())))
        })
        .await?;
        let prometheus = Arc::new(start_prometheus(plane, &tools, &folder, address)?);
        let background = Background::start()?;
        let reloading = sync.run(files, Arc::clone(&prometheus));
        let this = Self(Arc::new(Running { background, prometheus, operator, address, _port: port }));
        wait::until("Prometheus to be ready", START_LIMIT, async || {
            this.must_run()?;
            Ok(match this.get("/-/ready").await {
                Ok((200, _)) => Ok(()),
                Ok((status, _)) => Err(format!("it answers {status}")),
                Err(error) => Err(error.to_string()),
            })
        })
        .await?;
        // Not earlier: SIGHUP would end a Prometheus that does not handle it yet.
        this.0.background.spawn(reloading);
        Ok(this)
    }

    /// Prometheus' URL, for this process and for pods.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Fails with the end of its log if one of them has ended.
    pub fn must_run(&self) -> Result<()> {
        self.0.operator.must_run()?;
        self.0.prometheus.must_run()
    }

    /// The names and process ids of both.
    pub fn processes(&self) -> Vec<(String, u32)> {
        [&self.0.operator, &*self.0.prometheus]
            .map(|process| (process.name().to_owned(), process.pid()))
            .into()
    }

    /// The current value of a PromQL expression.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        answers::samples(&self.api("query", &[("query", expression)]).await?)
    }

    /// The values of an expression from `start` to `end`, both in seconds since 1970, with a point
    /// for each `step`.
    pub async fn query_range(
        &self,
        expression: &str,
        start: f64,
        end: f64,
        step: Duration,
    ) -> Result<Vec<Series>> {
        let (start, end, step) = (start.to_string(), end.to_string(), step.as_secs_f64().to_string());
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        answers::series(&self.api("query_range", &parameters).await?)
    }

    /// The pending and firing alerts.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        answers::alerts(&self.api("alerts", &[]).await?)
    }

    async fn api(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("/api/v1/{endpoint}?{query}");
        let (status, body) = self.get(&path).await?;
        if status == 200 {
            return Ok(body);
        }
        Err(Error::Command { command: format!("GET {}{path}", self.url()), output: body })
    }

    async fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = plain_http::get(self.0.address, path, ANSWER_LIMIT).await;
        answer
            .map_err(|source| Error::Start { program: format!("a request to {}{path}", self.url()), source })
    }
}

/// Selects what kube-prometheus' Prometheus selects, in all namespaces. Rules are evaluated every
/// second, as often as some pods are scraped.
fn prometheus_object(plane: &ControlPlane, folder: &Path) -> Result<String> {
    let (token, authority) = plane.monitoring_access();
    let token_file = folder.join("token");
    std::fs::write(&token_file, token).map_err(Error::file("write", &token_file))?;
    let everything = json!({});
    let object = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "serviceMonitorSelector": everything, "serviceMonitorNamespaceSelector": everything,
            "podMonitorSelector": everything, "podMonitorNamespaceSelector": everything,
            "ruleSelector": {"matchLabels": {"prometheus": NAME, "role": "alert-rules"}},
            "ruleNamespaceSelector": everything,
            "scrapeInterval": "5s", "evaluationInterval": "1s",
            "apiserverConfig": {
                "host": plane.api_url(),
                "bearerTokenFile": token_file,
                "tlsConfig": {"caFile": authority},
            },
        },
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    Ok(format!("{namespace}\n---\n{object}\n"))
}

fn start_operator(plane: &ControlPlane, tools: &Tools) -> Result<Process> {
    let mut command = Command::new(tools.file(OPERATOR)?);
    // It has no flag for the kubeconfig.
    command.env("KUBECONFIG", plane.monitoring_kubeconfig()?);
    command.args([
        // Its metrics and admission webhook are not used here; the system chooses the port.
        "--web.listen-address=127.0.0.1:0",
        // With it, the status of a monitor names the Prometheus that accepted it.
        "--feature-gates=StatusForConfigurationResources=true",
    ]);
    Process::start_command(OPERATOR, command, plane.folder().join(format!("{OPERATOR}.log")))
}

fn start_prometheus(
    plane: &ControlPlane,
    tools: &Tools,
    folder: &Path,
    address: SocketAddr,
) -> Result<Process> {
    let flags = [
        format!("--config.file={}", configuration(folder).display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address={address}"),
    ];
    Process::start("prometheus", tools.file("prometheus")?, &flags, plane.folder())
}

/// The file that Prometheus reads.
fn configuration(folder: &Path) -> PathBuf {
    folder.join("prometheus.yaml")
}
