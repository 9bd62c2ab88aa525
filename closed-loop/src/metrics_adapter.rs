//! A pod that serves the custom metrics API from Prometheus. It replaces prometheus-adapter, whose
//! module no registry publishes: it is built on the same library and reads the shipped rules file.

use std::path::PathBuf;
use std::time::Duration;

use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{ControlPlane, KubectlOutput, wait};
use serde_json::{Value, json};

use crate::monitoring::Monitoring;
use crate::tools;
use crate::{Error, Result};

/// The Deployment's image, which a node has to map to the program.
const IMAGE: &str = "devcluster/metrics-adapter";
const NAME: &str = "metrics-adapter";
const NAMESPACE: &str = "custom-metrics";
const PORT: u16 = 6443;
const AVAILABLE_LIMIT: Duration = Duration::from_mins(2);

/// The running adapter. It ends with its cluster.
#[derive(Debug)]
pub struct MetricsAdapter {
    prometheus: String,
    relist: Duration,
}

impl MetricsAdapter {
    /// The sentence that a demo prints about it.
    pub const STAND_IN: &str = "a stand-in for prometheus-adapter, which no registry publishes; it is built on the same library and reads the shipped rules file";

    /// The image of its pod, and the program for it, which is built at first use.
    pub async fn image() -> Result<(&'static str, PathBuf)> {
        let tools = tools::monitoring(&to_stderr).await?;
        Ok((IMAGE, tools.file(NAME)?.to_owned()))
    }

    /// Installs it with the text of a rules file, and waits until its APIService is available. It
    /// looks for new metrics every `relist`.
    pub async fn install(
        plane: &ControlPlane,
        monitoring: &Monitoring,
        rules: &str,
        relist: Duration,
    ) -> Result<Self> {
        let this = Self { prometheus: monitoring.url(), relist };
        this.apply(plane, rules).await?;
        let available =
            ["wait", "--for=condition=Available", "--timeout=1s", "apiservice/v1beta2.custom.metrics.k8s.io"];
        let waited = wait::until("the custom metrics API to be available", AVAILABLE_LIMIT, async || {
            Ok(plane.kubectl(&available).await?.ok().map_err(|error| error.to_string()))
        });
        match waited.await {
            Ok(_) => Ok(this),
            Err(Error::Timeout { what, limit, last }) => {
                let log = ["logs", "--tail=3", "--namespace", NAMESPACE, &format!("deployment/{NAME}")];
                let log = match plane.kubectl(&log).await.and_then(KubectlOutput::ok) {
                    Ok(log) => format!("the adapter's log ends with: {}", log.trim()),
                    Err(error) => format!("the adapter's log is not available: {error}"),
                };
                let last = format!("{last}\n{log}");
                Err(Error::Timeout { what, limit, last })
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the rules. Its pods are replaced as well, since they read the file only at their
    /// start.
    pub async fn set_rules(&self, plane: &ControlPlane, rules: &str) -> Result<()> {
        self.apply(plane, rules).await?;
        let namespace = format!("--namespace={NAMESPACE}");
        let rollout = ["rollout", "status", "deployment", NAME, &namespace, "--timeout=120s"];
        plane.kubectl(&rollout).await?.ok().map(drop)
    }

    async fn apply(&self, plane: &ControlPlane, rules: &str) -> Result<()> {
        let objects =
            [rights(), vec![self.deployment(rules), config(rules), service(), api_service()]].concat();
        plane.apply_yaml(&objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")).await
    }

    fn deployment(&self, rules: &str) -> Value {
        let labels = json!({"app": NAME});
        // Changed rules change the pod template.
        let digest = ring::digest::digest(&ring::digest::SHA256, rules.as_bytes());
        let version =
            digest.as_ref().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"rules": version}},
                    "spec": {
                        "serviceAccountName": NAME,
                        "containers": [{
                            "name": NAME, "image": IMAGE,
                            "args": [
                                format!("--secure-port={PORT}"), "--cert-dir=/tmp",
                                "--config=/etc/adapter/config.yaml",
                                format!("--prometheus-url={}", self.prometheus),
                                format!("--metrics-relist-interval={}s", self.relist.as_secs()),
                                // At least the scrape interval, or metrics would disappear between
                                // scrapes.
                                "--metrics-max-age=1m",
                            ],
                            "ports": [{"name": "https", "containerPort": PORT}],
                            "readinessProbe": {"tcpSocket": {"port": "https"}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "config", "mountPath": "/etc/adapter"}],
                        }],
                        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
                    },
                },
            },
        })
    }
}

/// The permissions of prometheus-adapter: to read pods, and to delegate authentication to the API
/// server.
fn rights() -> Vec<Value> {
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]);
    let binding = |kind: &str, role_kind: &str, role: &str, metadata: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        })
    };
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NAME},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        }),
        binding("ClusterRoleBinding", "ClusterRole", NAME, json!({"name": NAME})),
        binding(
            "ClusterRoleBinding",
            "ClusterRole",
            "system:auth-delegator",
            json!({"name": format!("{NAME}-delegates")}),
        ),
        binding(
            "RoleBinding",
            "Role",
            "extension-apiserver-authentication-reader",
            json!({"name": NAME, "namespace": "kube-system"}),
        ),
    ]
}

fn config(rules: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {"config.yaml": rules},
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 443, "targetPort": "https"}]},
    })
}

/// As in prometheus-adapter's chart. The adapter creates its own certificate, which is not
/// verified.
fn api_service() -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
        "spec": {
            "group": "custom.metrics.k8s.io", "version": "v1beta2",
            "groupPriorityMinimum": 100, "versionPriority": 200, "insecureSkipTLSVerify": true,
            "service": {"name": NAME, "namespace": NAMESPACE},
        },
    })
}
