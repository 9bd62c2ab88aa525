//! A stub of the custom metrics API, which gives the real autoscaler values to act on.
//!
//! In a production cluster, prometheus-adapter serves custom.metrics.k8s.io from the series that
//! Prometheus scraped. Simulated pods have no containers and therefore no lag, so this server
//! returns the values that a test or a demo sets. The rest of the path is real: the APIService, the
//! aggregation layer, the autoscaler.

mod handlers;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::pki::Ca;
use crate::port::Port;
use crate::{Result, https, wait};

const NAMESPACE: &str = "simulated-metrics";
const SERVICE: &str = "simulated-metrics-api";
const AVAILABLE_LIMIT: Duration = Duration::from_mins(1);

/// The value that each matching pod reports.
#[derive(Debug, Clone)]
struct Load {
    namespace: String,
    pod_prefix: String,
    metric: String,
    value: i64,
}

type Loads = Arc<Mutex<Vec<Load>>>;

/// The running server. Dropping it stops the server; its APIService then answers 503.
#[derive(Debug)]
pub struct MetricsApi {
    loads: Loads,
    server: JoinHandle<()>,
    port: Port,
}

impl MetricsApi {
    /// Starts the server on the calling runtime, registers its APIService, and waits until that is
    /// Available.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let port = Port::take()?;
        let ca = Ca::new("simulated-metrics")?;
        let pair = ca.server(&[&format!("{SERVICE}.{NAMESPACE}.svc"), "localhost"])?;
        let loads = Loads::default();
        let router = handlers::router(plane.client().await?, loads.clone());
        let server = https::serve(port.address(), &pair, router).await?;
        let this = Self { loads, server, port };
        plane.apply_yaml(&manifests(this.port.number(), ca.certificate())).await?;
        let available =
            ["wait", "--for=condition=Available", "--timeout=1s", "apiservice/v1beta2.custom.metrics.k8s.io"];
        wait::until("the simulated metrics API to be available", AVAILABLE_LIMIT, async || {
            Ok(plane.kubectl(&available).await?.ok().map_err(|error| error.to_string()))
        })
        .await?;
        Ok(this)
    }

    /// Sets the value that each pod in `namespace` with a name that starts with `pod_prefix`
    /// reports.
    pub fn set(&self, namespace: &str, pod_prefix: &str, metric: &str, value: i64) {
        self.remove(namespace, pod_prefix, metric);
        let [namespace, pod_prefix, metric] = [namespace, pod_prefix, metric].map(str::to_owned);
        self.loads.lock().push(Load { namespace, pod_prefix, metric, value });
    }

    /// Removes the value of these pods.
    pub fn remove(&self, namespace: &str, pod_prefix: &str, metric: &str) {
        self.loads.lock().retain(|load| {
            (load.namespace.as_str(), load.pod_prefix.as_str(), load.metric.as_str())
                != (namespace, pod_prefix, metric)
        });
    }
}

impl Drop for MetricsApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The Service is of type ExternalName: the API server connects to it without kube-proxy.
fn manifests(port: u16, ca: &str) -> String {
    let bundle = base64::engine::general_purpose::STANDARD.encode(ca);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
        "spec": {
            "group": handlers::GROUP, "version": handlers::VERSION,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "caBundle": bundle,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
        },
    });
    format!("{namespace}\n---\n{service}\n---\n{api}\n")
}
