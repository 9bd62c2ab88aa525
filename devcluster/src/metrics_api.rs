//! A simulation of the custom metrics API, so that the real autoscaler has something to go by.
//!
//! In a cluster of one's own prometheus-adapter answers custom.metrics.k8s.io from what Prometheus scraped.
//! Pods here have no containers and so no lag: this server answers with the numbers that a test or a demo sets.
//! Everything else on the way is real: the APIService, the aggregation in the API server, the autoscaler.

mod answers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::mutex::lock;
use crate::pki::Authority;
use crate::port::Port;
use crate::{Result, https, wait};

const NAMESPACE: &str = "simulated-metrics";
const SERVICE: &str = "simulated-metrics-api";
const AVAILABLE_LIMIT: Duration = Duration::from_mins(1);

/// What each pod of one kind reports.
#[derive(Debug, Clone)]
struct Load {
    namespace: String,
    pod_prefix: String,
    metric: String,
    value: i64,
}

type Loads = Arc<Mutex<Vec<Load>>>;

/// The running simulation; it ends when this is dropped, and its APIService then answers 503.
#[derive(Debug)]
pub struct MetricsApi {
    loads: Loads,
    server: JoinHandle<()>,
    port: Port,
}

impl MetricsApi {
    /// Serves it on the calling runtime, registers it, and waits until the API server finds it available.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let port = Port::take()?;
        let authority = Authority::new("simulated-metrics")?;
        let pair = authority.server(&[&format!("{SERVICE}.{NAMESPACE}.svc"), "localhost"])?;
        let loads = Loads::default();
        let router = answers::router(plane.client().await?, loads.clone());
        let server = https::serve(port.address(), &pair, router).await?;
        let this = Self { loads, server, port };
        plane.apply_yaml(&registration(this.port.number(), authority.certificate())).await?;
        let available =
            ["wait", "--for=condition=Available", "--timeout=1s", "apiservice/v1beta2.custom.metrics.k8s.io"];
        wait::until("the simulated metrics API to be available", AVAILABLE_LIMIT, async || {
            Ok(plane.kubectl(&available).await?.ok().map_err(|error| error.to_string()))
        })
        .await?;
        Ok(this)
    }

    /// From now on each pod of `namespace` whose name begins with `pod_prefix` reports `value`.
    pub fn set(&self, namespace: &str, pod_prefix: &str, metric: &str, value: i64) {
        self.remove(namespace, pod_prefix, metric);
        let [namespace, pod_prefix, metric] = [namespace, pod_prefix, metric].map(str::to_owned);
        lock(&self.loads).push(Load { namespace, pod_prefix, metric, value });
    }

    /// From now on these pods report nothing.
    pub fn remove(&self, namespace: &str, pod_prefix: &str, metric: &str) {
        lock(&self.loads).retain(|load| {
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

/// The API server reaches a Service of type ExternalName without a proxy.
fn registration(port: u16, authority: &str) -> String {
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
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
            "group": answers::GROUP, "version": answers::VERSION,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "caBundle": bundle,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
        },
    });
    format!("{namespace}\n---\n{service}\n---\n{api}\n")
}
