//! The cluster of all tests, and how they observe it.

use std::path::Path;
use std::time::Duration;

use kcg_closed_loop::{Image, Images, Node, Programs};
use kcg_devcluster::{ControlPlane, Crds, Installation, PodRunner, deploy_folder, wait};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::program::{AS_POD, PORT};

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The image of this program.
pub const IMAGE: &str = "example.com/tests/program:1";
const LIMIT: Duration = Duration::from_mins(1);

pub struct Harness {
    operator: OnceCell<()>,
    // Declared first: pods end before their cluster.
    pub node: Node,
    pub plane: ControlPlane,
}

impl Harness {
    pub async fn start() -> Outcome<Self> {
        let programs = Programs::build().await?;
        let this =
            Images::default().with("example.com/tests/program", Image::program(std::env::current_exe()?));
        let images = programs.iter().fold(this, |images, (name, program)| {
            images.with(&format!("thenextapps/{name}"), Image::program(program))
        });
        let crds = Crds::all(deploy_folder()?.join("crd"));
        let plane = ControlPlane::builder().pod_network(true).crds(crds).start().await?;
        let node = Node::start(&plane, "node-1", images).await?;
        Ok(Self { operator: OnceCell::new(), node, plane })
    }

    /// Installs the operator as shipped, once for all tests.
    pub async fn install_operator(&self) -> Outcome {
        let install = async || -> Outcome {
            let deploy = deploy_folder()?;
            self.apply_folder(&deploy.join("crd")).await?;
            let overlay = deploy.join("overlays/cluster/self-managed");
            let installation = Installation::apply(&self.plane, &overlay, PodRunner::Node).await?;
            installation.wait_available(&self.plane).await?;
            Ok(installation.wait_trusted(&self.plane).await?)
        };
        self.operator.get_or_try_init(install).await.copied()
    }

    /// The output of kubectl; fails if kubectl fails.
    pub async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(self.plane.kubectl(args).await?.ok()?)
    }

    /// Creates a namespace, and waits until its ServiceAccount exists, which pods need.
    pub async fn namespace(&self, name: &str) -> Outcome {
        self.kubectl(&["create", "namespace", name]).await?;
        self.sees(name, &["serviceaccount/default", "configmap/kube-root-ca.crt", "-o=name"], |names| {
            names.lines().count() == 2
        })
        .await
        .map(drop)
    }

    pub async fn apply(&self, objects: &[Value]) -> Outcome {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        Ok(self.plane.apply_yaml(&list.to_string()).await?)
    }

    pub async fn apply_folder(&self, folder: &Path) -> Outcome {
        self.kubectl(&["apply", "-k", &folder.display().to_string()]).await.map(drop)
    }

    /// Waits until the output of `kubectl get` is as wanted; returns it.
    pub async fn sees(
        &self,
        namespace: &str,
        args: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Outcome<String> {
        let command: Vec<&str> = ["get", "-n", namespace].iter().chain(args).copied().collect();
        let what = command.join(" ");
        let seen = wait::until(&what, LIMIT, async || {
            let answer = self.plane.kubectl(&command).await?;
            let text = format!("{}{}", answer.stdout, answer.stderr);
            Ok(if answer.code == 0 && wanted(&answer.stdout) { Ok(answer.stdout) } else { Err(text) })
        });
        Ok(seen.await?)
    }

    /// Waits for one field of a pod.
    pub async fn pod_field(&self, namespace: &str, pod: &str, field: &str, want: &str) -> Outcome {
        let path = format!("-o=jsonpath={{{field}}}");
        self.sees(namespace, &["pod", pod, &path], |got| got == want).await.map(drop)
    }

    pub async fn ready(&self, namespace: &str, pod: &str) -> Outcome {
        self.pod_field(namespace, pod, ".status.containerStatuses[0].ready", "true").await
    }

    /// Waits until an object is deleted.
    pub async fn gone(&self, namespace: &str, kind: &str, name: &str) -> Outcome {
        self.sees(namespace, &[kind, name, "--ignore-not-found", "-o=name"], str::is_empty).await.map(drop)
    }

    /// The answer of a pod's program, through the API server's proxy.
    pub async fn ask(&self, namespace: &str, pod: &str, path: &str) -> Outcome<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy/{path}");
        self.kubectl(&["get", "--raw", &path]).await
    }

    /// Waits until the pod has printed a line.
    pub async fn printed(&self, namespace: &str, pod: &str, line: &str) -> Outcome {
        let what = format!("{pod} to print {line:?}");
        let seen = wait::until(&what, LIMIT, async || {
            let runs = self.node.runs_of(namespace, pod);
            let text: String =
                runs.iter().map(|run| std::fs::read_to_string(run.log()).unwrap_or_default()).collect();
            Ok(if text.lines().any(|printed| printed == line) { Ok(()) } else { Err(text) })
        });
        Ok(seen.await?)
    }

    /// Waits until no process of the pod runs.
    pub async fn ended(&self, namespace: &str, pod: &str) -> Outcome {
        let what = format!("{pod} to end");
        let ended = wait::until(&what, LIMIT, async || {
            let running: Vec<u32> =
                self.node.runs_of(namespace, pod).iter().filter_map(|run| run.pid()).collect();
            Ok(if running.is_empty() { Ok(()) } else { Err(format!("{running:?} run")) })
        });
        Ok(ended.await?)
    }
}

/// The spec of a pod of this program. It ends `linger` milliseconds after SIGTERM; `ready_at` is
/// the path of its readiness probe.
pub fn spec(linger: u32, ready_at: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": "program", "image": IMAGE, "args": [AS_POD, linger.to_string()],
            "ports": [{"name": "http", "containerPort": PORT}],
            "readinessProbe": {"httpGet": {"path": ready_at, "port": "http"}, "periodSeconds": 1},
        }],
    })
}

pub fn pod(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": spec,
    })
}
