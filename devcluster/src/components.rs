//! Starts each component of the control plane with its flags.

use std::path::Path;
use std::time::Duration;

use crate::credentials::{Component, Credentials};
use crate::port::Port;
use crate::process::Process;
use crate::tools::{Tools, catalog::KWOK_STAGES};
use crate::{Error, Result};

/// The annotation of the nodes that kwok manages.
pub(crate) const KWOK_ANNOTATION: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// One event for each request, without bodies. The stage RequestReceived is omitted because a later
/// stage of the same request is always logged.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Which clients can reach the API server, and which servers it can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Only processes on this computer, over 127.0.0.1.
    Loopback,
    /// Also pods that have their own IP addresses.
    Pods,
}

/// Starts components from one set of programs, with the files of one cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComponentLauncher<'a> {
    pub tools: &'a Tools,
    pub folder: &'a Path,
    pub credentials: &'a Credentials,
}

impl ComponentLauncher<'_> {
    fn start(&self, program: &str, flags: &[String]) -> Result<Process> {
        Process::start(program, self.tools.file(program)?, flags, self.folder)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Starts etcd without fsync: its data does not outlive the process. `quota` is the most bytes of its
    /// database.
    pub(crate) fn etcd(&self, client: &Port, peer: &Port, quota: Option<u64>) -> Result<Process> {
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut flags = vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ];
        flags.extend(quota.map(|bytes| format!("--quota-backend-bytes={bytes}")));
        self.start("etcd", &flags)
    }

    /// Starts the API server with RBAC and with OwnerReferencesPermissionEnforcement, as OpenShift
    /// does.
    pub(crate) fn apiserver(
        &self,
        port: &Port,
        etcd: &Port,
        audit_log: Option<&Path>,
        admission_configuration: Option<&Path>,
        network: Network,
    ) -> Result<Process> {
        let file = |name| self.credentials.file(name);
        let (listen, disabled, routing) = match network {
            // The plugin rejects pods until the ServiceAccount of their namespace exists. Simulated
            // pods use no token.
            Network::Loopback => ("127.0.0.1", "ServiceAccount", false),
            Network::Pods => ("0.0.0.0", "", true),
        };
        let mut flags = vec![
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            format!("--secure-port={port}"),
            format!("--bind-address={listen}"),
            // An address from the documentation range (RFC 5737): a loopback address is not a valid
            // endpoint.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
            format!("--disable-admission-plugins={disabled}"),
            // There is no DNS server that resolves node names.
            "--kubelet-preferred-address-types=InternalIP".into(),
            // Connect to a Service's pods instead of its cluster IP: there is no kube-proxy.
            format!("--enable-aggregator-routing={routing}"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
        ];
        flags.extend(self.aggregation_flags());
        flags.extend(
            admission_configuration.map(|path| format!("--admission-control-config-file={}", path.display())),
        );
        if let Some(log) = audit_log {
            flags.extend(self.audit_flags(log)?);
        }
        self.start("kube-apiserver", &flags)
    }

    /// The flags of the aggregation layer, which an APIService (custom metrics) needs.
    fn aggregation_flags(&self) -> [String; 7] {
        let file = |name| self.credentials.file(name);
        [
            format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
            "--requestheader-allowed-names=front-proxy-client".into(),
            "--requestheader-username-headers=X-Remote-User".into(),
            "--requestheader-group-headers=X-Remote-Group".into(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
            format!("--proxy-client-cert-file={}", file("front-proxy.crt")),
            format!("--proxy-client-key-file={}", file("front-proxy.key")),
        ]
    }

    fn audit_flags(&self, log: &Path) -> Result<[String; 4]> {
        let policy = self.folder.join("audit-policy.yaml");
        std::fs::write(&policy, AUDIT_POLICY).map_err(Error::file("write", &policy))?;
        Ok([
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", log.display()),
            // Write the event before the response: a client that has the response can count the
            // request.
            "--audit-log-mode=blocking".into(),
            // In MB. The log is never rotated because a mark is an offset in the file.
            "--audit-log-maxsize=100000".into(),
        ])
    }

    /// Starts kube-controller-manager: by default with Deployments, garbage collection, and the
    /// horizontal pod autoscaler.
    pub(crate) fn controller_manager(
        &self,
        controllers: &str,
        hpa_period: Duration,
        hpa_stabilization: Duration,
    ) -> Result<Process> {
        self.start(
            "kube-controller-manager",
            &[
                format!(
                    "--kubeconfig={}",
                    self.credentials.component(Component::ControllerManager)?.display()
                ),
                format!(
                    "--service-account-private-key-file={}",
                    self.credentials.file("service-accounts.key")
                ),
                format!("--root-ca-file={}", self.credentials.file("ca.crt")),
                format!("--controllers={controllers}"),
                "--use-service-account-credentials=false".into(),
                "--leader-elect=false".into(),
                // Nothing here reads its metrics.
                "--secure-port=0".into(),
                "--kube-api-qps=200".into(),
                "--kube-api-burst=400".into(),
                format!("--horizontal-pod-autoscaler-sync-period={}ms", hpa_period.as_millis()),
                format!(
                    "--horizontal-pod-autoscaler-downscale-stabilization={}ms",
                    hpa_stabilization.as_millis()
                ),
            ],
        )
    }

    /// Starts kube-scheduler.
    pub(crate) fn scheduler(&self) -> Result<Process> {
        self.start(
            "kube-scheduler",
            &[
                format!("--kubeconfig={}", self.credentials.component(Component::Scheduler)?.display()),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--kube-api-qps=200".into(),
                "--kube-api-burst=400".into(),
            ],
        )
    }

    /// Starts cert-manager: certificates, issuers, and CA injection into webhook configurations.
    pub(crate) fn cert_manager(&self) -> Result<Process> {
        let kubeconfig = self.credentials.component(Component::CertManager)?;
        self.start("cert-manager", &[format!("--kubeconfig={}", kubeconfig.display())])
    }

    /// Starts kwok, which simulates the annotated nodes and the pods on them.
    pub(crate) fn kwok(&self) -> Result<Process> {
        let (annotation, value) = KWOK_ANNOTATION;
        self.start(
            "kwok",
            &[
                format!("--kubeconfig={}", self.credentials.component(Component::Kwok)?.display()),
                format!("--config={}", self.tools.file(KWOK_STAGES)?.display()),
                "--manage-all-nodes=false".into(),
                format!("--manage-nodes-with-annotation-selector={annotation}={value}"),
                "--node-lease-duration-seconds=40".into(),
            ],
        )
    }
}
