//! The custom metrics API from what Prometheus has scraped, run as a pod: by the rules file that is shipped for
//! prometheus-adapter, on the library that prometheus-adapter is built on, whose own module no registry publishes.

use std::path::PathBuf;
use std::time::Duration;

use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{ControlPlane, KubectlOutput, wait};
use serde_json::{Value, json};

use crate::monitoring::Monitoring;
use crate::tools;
use crate::{Error, Result};

/// The image that the Deployment names; a node has to know the program that it stands for.
const IMAGE: &str = "devcluster/metrics-adapter";
const NAME: &str = "metrics-adapter";
const NAMESPACE: &str = "custom-metrics";
const PORT: u16 = 6443;
const AVAILABLE_LIMIT: Duration = Duration::from_mins(2);

/// The running adapter; it ends with its cluster.
#[derive(Debug)]
pub struct MetricsAdapter {
    prometheus: String,
    relist: Duration,
}

impl MetricsAdapter {
    /// What a demo says about it.
    pub const STAND_IN: &str = "The custom metrics API is served by a stand-in for prometheus-adapter, which no registry publishes; it is built on the same library and reads the shipped rules file";

    /// The image of its pod, and the program that it stands for; built when it is first asked for.
    pub async fn image() -> Result<(&'static str, PathBuf)> {
        let tools = tools::monitoring(&to_stderr).await?;
        Ok((IMAGE, tools.file(NAME)?.to_owned()))
    }

    /// Installs it with a rules file's text, looking for new metrics each `relist`, and waits until the API server finds it
    /// available.
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
                    Err(error) => format!("the adapter's log cannot be had: {error}"),
                };
                let last = format!("{last}\n{log}");
                Err(Error::Timeout { what, limit, last })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives it other rules. Its pods are replaced, as they read the file once.
    pub async fn set_rules(&self, plane: &ControlPlane, rules: &str) -> Result<()> {
        self.apply(plane, rules).await?;
        let namespace = format!("--namespace={NAMESPACE}");
        let rollout = ["rollout", "status", "deployment", NAME, &namespace, "--timeout=120s"];
        plane.kubectl(&rollout).await?.ok().map(drop)
    }

    async fn apply(&self, plane: &ControlPlane, rules: &str) -> Result<()> {
        let objects =
            [rights(), vec![self.deployment(rules), config(rules), service(), registration()]].concat();
        plane.apply_yaml(&objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")).await
    }

    fn deployment(&self, rules: &str) -> Value {
        let labels = json!({"app": NAME});
        // A change of the rules is a change of the pods.
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
                                // Never less than the time between two scrapes, or metrics come and go.
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

/// The rights that prometheus-adapter needs: to see pods, and to have who asks it told apart by the API server.
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

/// As prometheus-adapter's chart registers it: it makes its own certificate, which nobody checks.
fn registration() -> Value {
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
