//! One control plane for many plans at once: the operator as it ships, a namespace, a proxy and a
//! process of the operator for each plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use kcg_api::names;
use kcg_devcluster::audit::{AuditEvent, AuditLog, Mark};
use kcg_devcluster::{ControlPlane, Replica};
use kcg_tests::deploy;
use kcg_tests::env::{TestEnv, all_crds};
use kcg_tests::namespace::Namespace;
use parking_lot::Mutex;
use serde_json::json;

use crate::faults::Faults;
use crate::proxy::{Hooks, Proxy, Upstream};
use crate::recorder::Recorder;

/// The rig of all plans.
pub struct Rig {
    _webhook: Replica,
    pub recorder: Recorder,
    pub upstream: Upstream,
    audit: Mutex<Audit>,
    namespaces: AtomicUsize,
    env: Arc<TestEnv>,
}

/// What is read of the audit log, by namespace.
struct Audit {
    log: AuditLog,
    mark: Mark,
    writes: Vec<AuditEvent>,
}

impl Rig {
    pub async fn start() -> Result<Arc<Self>> {
        let plane = ControlPlane::builder()
            .audit(true)
            .scheduler(false)
            // Deployments and autoscalers are played by the life, so that each run is the same.
            .controllers("garbage-collector-controller")
            .crds(all_crds());
        let env = TestEnv::install(plane.start().await?, &deploy("scopes/cluster")).await?;
        env.plane.apply_yaml(&leases().to_string()).await?;
        let log = env.plane.audit_log()?;
        let audit = Audit { mark: log.mark()?, log, writes: Vec::new() };
        Ok(Arc::new(Self {
            _webhook: env.operator.start_webhook(&[]).await?,
            recorder: Recorder::start(&env.client),
            upstream: Upstream::of(env.plane.kubeconfig_path()).await?,
            audit: Mutex::new(audit),
            namespaces: AtomicUsize::new(0),
            env: Arc::new(env),
        }))
    }

    pub async fn namespace(&self) -> Result<Namespace> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        self.env.namespace(&format!("fault-{number:05}")).await
    }

    /// A proxy for the operator of a namespace, and the kubeconfig that leads to it.
    pub async fn proxy(&self, namespace: &str, faults: Faults, hooks: Hooks) -> Result<(Proxy, PathBuf)> {
        let proxy = Proxy::start(&self.upstream, faults, hooks).await?;
        let copy = self.env.plane.folder().join(format!("{namespace}.kubeconfig"));
        let kubeconfig = proxy.kubeconfig(&self.upstream, self.env.operator.controller_kubeconfig(), copy)?;
        Ok((proxy, kubeconfig))
    }

    /// Starts processes of the operator for one namespace.
    pub fn starter(
        &self,
        namespace: &str,
        kubeconfig: PathBuf,
    ) -> impl Fn() -> Result<Replica> + Send + Sync + use<> {
        let (env, namespace) = (self.env.clone(), namespace.to_owned());
        move || start_operator(&env, &namespace, &kubeconfig)
    }
    /// Removes what a plan leaves in its namespace, so that it costs the others nothing.
    pub fn forget(&self, namespace: &str) {
        self.recorder.forget(namespace);
        self.audit.lock().writes.retain(|event| event.object_ref.namespace != namespace);
    }

    /// All writes that the operator's account has tried in a namespace, those of its Lease aside.
    pub fn writes(&self, namespace: &str) -> Result<Vec<AuditEvent>> {
        let mut audit = self.audit.lock();
        let Audit { log, mark, writes } = &mut *audit;
        let is_counted = |event: &AuditEvent| {
            event.is_write()
                && event.is_by(names::NAMESPACE, names::CONTROLLER)
                && event.object_ref.resource != "leases"
        };
        writes.extend(log.next(mark)?.into_iter().filter(is_counted));
        Ok(writes.iter().filter(|event| event.object_ref.namespace == namespace).cloned().collect())
    }
}

fn start_operator(env: &TestEnv, namespace: &str, kubeconfig: &Path) -> Result<Replica> {
    let flags = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--namespaces={namespace}"),
        format!("--leader-elect-resource-namespace={namespace}"),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Ok(env.operator.spawn_controller(namespace, &flags)?)
}

/// The right to a Lease in every plan's namespace; the shipped Role is for the operator's namespace.
fn leases() -> serde_json::Value {
    let name = "fault-leases";
    let api_group = "rbac.authorization.k8s.io";
    let api_version = format!("{api_group}/v1");
    let rule = json!({
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"],
    });
    let subject = json!({"kind": "ServiceAccount", "name": names::CONTROLLER, "namespace": names::NAMESPACE});
    let binding = json!({
        "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": name}, "subjects": [subject],
    });
    let role = json!({
        "apiVersion": api_version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
}

/// Waits until `quiet` gives at least this time. Returns whether it did within the limit.
pub async fn until_quiet(quiet: impl Fn() -> Duration, wanted: Duration, limit: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        let so_far = quiet();
        if so_far >= wanted {
            return true;
        }
        tokio::time::sleep(wanted.saturating_sub(so_far).max(Duration::from_millis(20))).await;
    }
    false
}
