//! The flags with which each program of the control plane is started.

use std::path::Path;
use std::time::Duration;

use crate::credentials::{Component, Credentials};
use crate::parts::{Parts, catalog::KWOK_STAGES};
use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result};

/// The annotation by which a node asks kwok to play it.
pub(crate) const KWOK_ANNOTATION: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// One line for each request, without bodies. Where a request starts is left out: what it came to is logged.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Who reaches the API server, and whom it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Processes of this computer alone, both ways.
    Loopback,
    /// Pods with addresses of their own, too.
    Pods,
}

/// What all starts share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub parts: &'a Parts,
    pub folder: &'a Path,
    pub credentials: &'a Credentials,
}

impl Site<'_> {
    fn start(&self, program: &str, flags: &[String]) -> Result<Process> {
        Process::start(program, self.parts.file(program)?, flags, self.folder)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// etcd, which need not survive a power cut.
    pub fn etcd(&self, client: &Port, peer: &Port) -> Result<Process> {
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        self.start(
            "etcd",
            &[
                format!("--data-dir={}", self.path("etcd")),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                "--unsafe-no-fsync".into(),
                "--log-level=warn".into(),
            ],
        )
    }

    /// The API server, with RBAC, and with owner references guarded as OpenShift guards them.
    pub fn apiserver(
        &self,
        port: &Port,
        etcd: &Port,
        audit_log: Option<&Path>,
        network: Network,
    ) -> Result<Process> {
        let file = |name| self.credentials.file(name);
        let (listen, disabled, routing) = match network {
            // The plugin would refuse pods until their namespace's account exists; no pod there uses its token.
            Network::Loopback => ("127.0.0.1", "ServiceAccount", false),
            Network::Pods => ("0.0.0.0", "", true),
        };
        let mut flags = vec![
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            format!("--secure-port={port}"),
            format!("--bind-address={listen}"),
            // An address for documentation: no endpoint is published, since none of loopback may be.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
            format!("--disable-admission-plugins={disabled}"),
            // Nobody here resolves a node's name.
            "--kubelet-preferred-address-types=InternalIP".into(),
            // A Service's pods are dialled, not its address, which only a kube-proxy would serve.
            format!("--enable-aggregator-routing={routing}"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
        ];
        flags.extend(self.aggregation_flags());
        if let Some(log) = audit_log {
            flags.extend(self.audit_flags(log)?);
        }
        self.start("kube-apiserver", &flags)
    }

    /// With these an APIService (the custom metrics) is served by another server.
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
            // A request is answered only after its line is written: who has the answer can count it.
            "--audit-log-mode=blocking".into(),
            // In MB; never rotated, a mark is an offset.
            "--audit-log-maxsize=100000".into(),
        ])
    }

    /// The controllers: Deployments, garbage collection, the horizontal pod autoscaler.
    pub fn controller_manager(&self, hpa_period: Duration, hpa_stabilization: Duration) -> Result<Process> {
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
                "--use-service-account-credentials=false".into(),
                "--leader-elect=false".into(),
                // Its own port would be one more to choose; nobody asks it anything.
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

    /// The scheduler.
    pub fn scheduler(&self) -> Result<Process> {
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

    /// cert-manager: certificates, issuers, and the authorities of webhook registrations.
    pub fn cert_manager(&self) -> Result<Process> {
        let kubeconfig = self.credentials.component(Component::CertManager)?;
        self.start("cert-manager", &[format!("--kubeconfig={}", kubeconfig.display())])
    }

    /// kwok, which plays the nodes that ask for it and the pods on them.
    pub fn kwok(&self) -> Result<Process> {
        let (annotation, value) = KWOK_ANNOTATION;
        self.start(
            "kwok",
            &[
                format!("--kubeconfig={}", self.credentials.component(Component::Kwok)?.display()),
                format!("--config={}", self.parts.file(KWOK_STAGES)?.display()),
                "--manage-all-nodes=false".into(),
                format!("--manage-nodes-with-annotation-selector={annotation}={value}"),
                "--node-lease-duration-seconds=40".into(),
            ],
        )
    }
}
