//! The operator, installed as a person installs it and run as two local processes under its shipped roles.
//!
//! What deploy/ ships is applied with a kustomization on top that changes only what a cluster without real pods
//! needs: the webhook's Service becomes an alias of localhost, the registrations get the local port and the
//! authority that signed the local certificate, and the Deployments get no pods, since these processes are them.

mod binary;
mod overlay;
mod replica;

use std::path::{Path, PathBuf};

pub use binary::{OPERATOR_BINARY, build_operator};
pub use replica::Replica;

use crate::control_plane::ControlPlane;
use crate::pki::Authority;
use crate::port::Port;
use crate::{Error, Result};
use overlay::Shipped;

/// The operator's files and identities in one cluster. It runs nothing by itself: replicas are started from it.
#[derive(Debug)]
pub struct Operator {
    shipped: Shipped,
    binary: PathBuf,
    folder: PathBuf,
    certificates: PathBuf,
    authority: Authority,
    controller_kubeconfig: PathBuf,
    webhook_kubeconfig: PathBuf,
    webhook_port: Port,
}

impl Operator {
    /// Applies a kustomization of deploy/scopes, which has to come with the CRDs installed already, issues
    /// the webhook's certificate, and takes a token for each of the two ServiceAccounts.
    pub async fn install(plane: &ControlPlane, overlay: &Path, binary: &Path) -> Result<Self> {
        let shipped = Shipped::read(plane.kubectl_command(), overlay).await?;
        let authority = Authority::new("devcluster-webhook")?;
        let webhook_port = Port::take()?;
        let folder = plane.folder().join("operator");
        let certificates = folder.join("certificates");
        std::fs::create_dir_all(&certificates).map_err(Error::file("create", &certificates))?;

        let on_top = folder.join("kustomize");
        shipped.write_kustomization(&on_top, webhook_port.number(), authority.certificate())?;
        plane.apply_path(&on_top).await?;

        let controller_kubeconfig =
            plane.kubeconfig_for(&shipped.namespace, &shipped.controller_account).await?;
        let webhook_kubeconfig = plane.kubeconfig_for(&shipped.namespace, &shipped.webhook_account).await?;
        let operator = Self {
            shipped,
            binary: binary.into(),
            folder: plane.folder().into(),
            certificates,
            authority,
            controller_kubeconfig,
            webhook_kubeconfig,
            webhook_port,
        };
        operator.issue_certificate()?;
        Ok(operator)
    }

    /// The namespace it lives in.
    pub fn namespace(&self) -> &str {
        &self.shipped.namespace
    }

    /// The ServiceAccount of the controller.
    pub fn controller_account(&self) -> &str {
        &self.shipped.controller_account
    }

    /// The ServiceAccount of the webhook.
    pub fn webhook_account(&self) -> &str {
        &self.shipped.webhook_account
    }

    /// The kubeconfig with the controller's token.
    pub fn controller_kubeconfig(&self) -> &Path {
        &self.controller_kubeconfig
    }

    /// The kubeconfig with the webhook's token.
    pub fn webhook_kubeconfig(&self) -> &Path {
        &self.webhook_kubeconfig
    }

    /// The port that the registrations name.
    pub fn webhook_port(&self) -> &Port {
        &self.webhook_port
    }

    /// The folder with the webhook's tls.crt and tls.key.
    pub fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// The authority that the registrations trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Writes a fresh certificate for the webhook, as a renewal would.
    pub fn issue_certificate(&self) -> Result<()> {
        let (service, namespace) = (&self.shipped.webhook_service, &self.shipped.namespace);
        let in_cluster = format!("{service}.{namespace}.svc");
        let pair =
            self.authority.server(&[&in_cluster, &format!("{in_cluster}.cluster.local"), "localhost"])?;
        for (name, text) in [("tls.key", &pair.key), ("tls.crt", &pair.certificate)] {
            let path = self.certificates.join(name);
            std::fs::write(&path, text).map_err(Error::file("write", &path))?;
        }
        Ok(())
    }

    /// Starts a controller under an identity of its own (a replica more each time), with further flags, and
    /// waits until it is ready. A replica that is not elected is ready, too.
    pub async fn start_controller(&self, identity: &str, flags: &[&str]) -> Result<Replica> {
        let status = Port::take()?;
        let mut args = vec![
            "controller".to_owned(),
            format!("--kubeconfig={}", self.controller_kubeconfig.display()),
            format!("--status-addr={}", status.address()),
            format!("--identity={identity}"),
            format!("--lease-namespace={}", self.shipped.namespace),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Replica::start(identity, &self.binary, &args, &self.folder, status).await
    }

    /// Starts the webhook at the port that the registrations name, with further flags, and waits until it is
    /// ready.
    pub async fn start_webhook(&self, flags: &[&str]) -> Result<Replica> {
        self.start_webhook_at("webhook", &self.webhook_port, flags).await
    }

    /// Starts a further webhook at a port that no registration names.
    pub async fn start_webhook_at(&self, name: &str, port: &Port, flags: &[&str]) -> Result<Replica> {
        let status = Port::take()?;
        let mut args = vec![
            "webhook".to_owned(),
            format!("--kubeconfig={}", self.webhook_kubeconfig.display()),
            format!("--listen={}", port.address()),
            format!("--cert-dir={}", self.certificates.display()),
            format!("--status-addr={}", status.address()),
            // Nobody routes to it by readiness here: there is nothing to be quiet for.
            "--drain-quiet-period=0s".to_owned(),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Replica::start(name, &self.binary, &args, &self.folder, status).await
    }
}
