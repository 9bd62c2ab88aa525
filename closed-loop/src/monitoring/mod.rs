//! prometheus-operator and Prometheus, both real.
//!
//! The operator turns ServiceMonitors, PodMonitors and PrometheusRules into Prometheus' configuration, a Secret, and
//! its rules, ConfigMaps. In a cluster of one's own it also runs Prometheus, as the pods of a StatefulSet; here that has no
//! pods, and the real Prometheus runs as a local process on what the operator has written, read again whenever it changes.

mod answers;
mod written;

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

/// Where the Prometheus object lives, and its name: kube-prometheus' own, so that what selects by these fits.
const NAMESPACE: &str = "monitoring";
const NAME: &str = "k8s";
/// The operator's program.
const OPERATOR: &str = "prometheus-operator";
const START_LIMIT: Duration = Duration::from_mins(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Both, running; they end with the last copy of this value.
#[derive(Debug, Clone)]
pub struct Monitoring(Arc<Running>);

#[derive(Debug)]
struct Running {
    // Declared first: nobody reloads what has ended.
    background: Background,
    prometheus: Arc<Process>,
    operator: Process,
    address: SocketAddr,
    _port: Port,
}

impl Monitoring {
    /// Starts them, and waits until Prometheus runs on the operator's configuration. Their first start builds them.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let tools = tools::monitoring(&to_stderr).await?;
        plane.install_prometheus_crd().await?;
        let further = tools.file(FURTHER_MONITORING_CRDS)?.to_owned();
        plane
            .install_crds(&Crds { own: Some(further), prometheus_operator: true, ..Crds::default() })
            .await?;
        let folder = plane.folder().join("prometheus");
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        plane.apply_yaml(&prometheus_object(plane, &folder)?).await?;
        let operator = start_operator(plane, &tools)?;
        let port = Port::take()?;
        let host = if pod_network::is_inside() { pod_network::NODE_ADDRESS } else { Ipv4Addr::LOCALHOST };
        let address = SocketAddr::from((host, port.number()));

        let source = written::Source::connect(plane, NAMESPACE, NAME, folder.clone()).await?;
        let what = "prometheus-operator to write Prometheus' configuration";
        let brought = wait::until(what, START_LIMIT, async || {
            operator.must_run()?;
            let brought = source.bring().await.map_err(|error| error.to_string());
            Ok(brought.and_then(|files| files.ok_or_else(|| "there is none".to_owned())))
        })
        .await?;
        let prometheus = Arc::new(start_prometheus(plane, &tools, &folder, address)?);
        let background = Background::start()?;
        let follower = source.follow(brought, Arc::clone(&prometheus));
        let this = Self(Arc::new(Running { background, prometheus, operator, address, _port: port }));
        wait::until("Prometheus to be ready", START_LIMIT, async || {
            this.must_run()?;
            Ok(match this.get("/-/ready").await {
                Ok((200, _)) => Ok(()),
                Ok((status, _)) => Err(format!("it says {status}")),
                Err(error) => Err(error.to_string()),
            })
        })
        .await?;
        // Not before: a Prometheus that has just been started does not know the signal yet, and ends by it.
        this.0.background.spawn(follower);
        Ok(this)
    }

    /// Where Prometheus answers: this process, and pods.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Fails with the end of its log where one of them has ended.
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

    /// The value of a PromQL expression now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        answers::samples(&self.api("query", &[("query", expression)]).await?)
    }

    /// Its values from `start` to `end`, both in seconds since 1970, a point each `step`.
    pub async fn query_range(
        &self,
        expression: &str,
        start: f64,
        end: f64,
        step: Duration,
    ) -> Result<Vec<Series>> {
        let (start, end, step) = (start.to_string(), end.to_string(), step.as_secs_f64().to_string());
        let asked = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        answers::series(&self.api("query_range", &asked).await?)
    }

    /// The alerts that are pending or fire.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        answers::alerts(&self.api("alerts", &[]).await?)
    }

    async fn api(&self, endpoint: &str, asked: &[(&str, &str)]) -> Result<String> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
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

/// What kube-prometheus' Prometheus selects, from all namespaces; a pod that scrapes every second may be evaluated so.
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
    // It has no flag for it.
    command.env("KUBECONFIG", plane.monitoring_kubeconfig()?);
    command.args([
        // It serves metrics and an admission webhook that nobody here asks for; the system chooses the port.
        "--web.listen-address=127.0.0.1:0",
        // With it a monitor's status says which Prometheus has taken it up.
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
