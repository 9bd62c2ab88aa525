//! The operator, installed as a person installs it and run as local processes under its shipped roles.
//!
//! What deploy/ ships is applied with a kustomization on top that changes only what a cluster without real pods
//! needs: the webhook's Service becomes an alias of localhost, the registrations get the local port, and the
//! Deployments get no pods, since these processes are them. They run with the shipped flags, but for addresses and
//! folders. Where the overlay leaves the certificate to a person, this is that person.

mod balancer;
mod binary;
mod overlay;
mod replica;
mod volume;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use balancer::Balancer;
pub use binary::{OPERATOR, OPERATOR_BINARY, build_operator, cargo_build};
pub use overlay::Certificates;
pub use replica::Replica;
pub use volume::{Files, Volume};

use crate::background::Background;
use crate::control_plane::ControlPlane;
use crate::pki::Authority;
use crate::port::Port;
use crate::{Result, wait};
use overlay::{Program, Shipped, with_flags};
use volume::Projector;

/// How long a certificate may take from an empty cluster to the registrations.
const TRUST_LIMIT: Duration = Duration::from_mins(2);

/// The operator's files and identities in one cluster. It runs nothing by itself: replicas are started from it.
#[derive(Debug)]
pub struct Operator {
    shipped: Shipped,
    binary: PathBuf,
    folder: PathBuf,
    kustomization: PathBuf,
    volume: Arc<Volume>,
    /// Where the certificate comes from a Secret.
    projector: Option<Projector>,
    controller_kubeconfig: PathBuf,
    webhook_kubeconfig: PathBuf,
    webhook_port: Port,
    _background: Background,
}

impl Operator {
    /// Applies a kustomization of deploy/overlays or deploy/scopes with `kubectl apply -k`, and takes a token for each of
    /// the two ServiceAccounts. Where the overlay wants cert-manager, that is started; where it leaves the certificate
    /// to a person, one is issued here.
    pub async fn install(plane: &ControlPlane, overlay: &Path, binary: &Path) -> Result<Self> {
        let shipped = Shipped::read(plane.kubectl_command(), overlay).await?;
        if shipped.certificates == Certificates::CertManager {
            plane.start_cert_manager().await?;
        }
        let authority = match shipped.certificates {
            Certificates::Provided => Some(Authority::new("devcluster-webhook")?),
            Certificates::CertManager | Certificates::SelfManaged => None,
        };
        let webhook_port = Port::take()?;
        let folder = plane.folder().join("operator");
        let kustomization = folder.join("kustomize");
        let trusted = authority.as_ref().map(Authority::certificate);
        shipped.write_kustomization(&kustomization, webhook_port.number(), trusted)?;
        plane.kubectl(&["apply", "-k", &kustomization.display().to_string()]).await?.ok()?;

        let background = Background::start()?;
        let volume = Arc::new(Volume::create(folder.join("certificates"))?);
        let mut projector = None;
        if let Some(authority) = &authority {
            volume.project(&issue(authority, &shipped)?)?;
        } else {
            projector = Some(Projector::start(
                &background,
                plane.kubeconfig_path().to_owned(),
                shipped.namespace.clone(),
                shipped.mount.clone(),
                Arc::clone(&volume),
            ));
        }
        if shipped.certificates == Certificates::CertManager {
            wait::until("cert-manager to issue the webhook's certificate", TRUST_LIMIT, async || {
                plane.cert_manager_must_run()?;
                Ok(if volume.folder().join("tls.crt").exists() {
                    Ok(())
                } else {
                    Err("there is none".to_owned())
                })
            })
            .await?;
        }
        let controller_kubeconfig =
            plane.kubeconfig_for(&shipped.namespace, &shipped.controller.account).await?;
        let webhook_kubeconfig = plane.kubeconfig_for(&shipped.namespace, &shipped.webhook.account).await?;
        Ok(Self {
            shipped,
            binary: binary.into(),
            folder: plane.folder().into(),
            kustomization,
            volume,
            projector,
            controller_kubeconfig,
            webhook_kubeconfig,
            webhook_port,
            _background: background,
        })
    }

    /// The namespace it lives in.
    pub fn namespace(&self) -> &str {
        &self.shipped.namespace
    }

    /// The folder that was applied: the overlay, with what a cluster without real pods needs on top. What is applied or
    /// deleted by it is what a person applies or deletes by the overlay itself.
    pub fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// The ServiceAccount of the controller.
    pub fn controller_account(&self) -> &str {
        &self.shipped.controller.account
    }

    /// The ServiceAccount of the webhook.
    pub fn webhook_account(&self) -> &str {
        &self.shipped.webhook.account
    }

    /// The kubeconfig with the controller's token.
    pub fn controller_kubeconfig(&self) -> &Path {
        &self.controller_kubeconfig
    }

    /// The kubeconfig with the webhook's token.
    pub fn webhook_kubeconfig(&self) -> &Path {
        &self.webhook_kubeconfig
    }

    /// Who sees to the webhook's certificate.
    pub fn certificates(&self) -> Certificates {
        self.shipped.certificates
    }

    /// The name of the Secret that the webhook mounts.
    pub fn secret(&self) -> &str {
        &self.shipped.mount.secret
    }

    /// The port that the registrations name.
    pub fn webhook_port(&self) -> &Port {
        &self.webhook_port
    }

    /// The webhook's certificate folder.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// How late a changed Secret reaches the webhook's folder: a kubelet takes up to a minute and a half.
    pub fn delay_secret(&self, delay: Duration) {
        if let Some(projector) = &self.projector {
            projector.delay(delay);
        }
    }

    /// Waits until every webhook of both registrations names an authority.
    pub async fn wait_trusted(&self, plane: &ControlPlane) -> Result<()> {
        wait::until("the registrations to name an authority", TRUST_LIMIT, async || {
            for (kind, name, count) in self.shipped.registrations() {
                let path = "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
                let bundles = plane.kubectl(&["get", kind, name, "-o", path]).await?.ok()?;
                if bundles.lines().filter(|bundle| !bundle.is_empty()).count() < *count {
                    return Ok(Err(format!("{kind} {name} does not")));
                }
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Starts a controller under an identity of its own (a replica more each time), with further flags, and
    /// waits until it is ready. A replica that is not elected is ready, too.
    pub async fn start_controller(&self, identity: &str, flags: &[&str]) -> Result<Replica> {
        ready(self.begin_controller(identity, flags)?).await
    }

    /// The same without the wait.
    pub fn begin_controller(&self, identity: &str, flags: &[&str]) -> Result<Replica> {
        let status = Port::take()?;
        let own = [
            format!("--kubeconfig={}", self.controller_kubeconfig.display()),
            format!("--status-addr={}", status.address()),
            format!("--identity={identity}"),
            format!("--lease-namespace={}", self.shipped.namespace),
        ];
        self.begin(identity, &self.shipped.controller, &own, flags, status)
    }

    /// Starts the webhook at the port that the registrations name, with further flags, and waits until it is
    /// ready.
    pub async fn start_webhook(&self, flags: &[&str]) -> Result<Replica> {
        self.start_webhook_at("webhook", &self.webhook_port, flags).await
    }

    /// The same without the wait.
    pub fn begin_webhook(&self, flags: &[&str]) -> Result<Replica> {
        self.begin_webhook_at("webhook", &self.webhook_port, flags)
    }

    /// Puts a balancer at the port that the registrations name, for webhooks at ports of their own.
    pub fn balance(&self) -> Result<Balancer> {
        Balancer::start(&self.webhook_port)
    }

    /// Starts a further webhook at a port that no registration names.
    pub async fn start_webhook_at(&self, name: &str, port: &Port, flags: &[&str]) -> Result<Replica> {
        ready(self.begin_webhook_at(name, port, flags)?).await
    }

    fn begin_webhook_at(&self, name: &str, port: &Port, flags: &[&str]) -> Result<Replica> {
        let status = Port::take()?;
        let own = [
            format!("--kubeconfig={}", self.webhook_kubeconfig.display()),
            format!("--listen={}", port.address()),
            format!("--cert-dir={}", self.volume.folder().display()),
            format!("--status-addr={}", status.address()),
            // Nobody routes to it by readiness here: there is nothing to be quiet for.
            "--drain-quiet-period=0s".to_owned(),
        ];
        self.begin(name, &self.shipped.webhook, &own, flags, status)
    }

    fn begin(
        &self,
        name: &str,
        program: &Program,
        own: &[String],
        flags: &[&str],
        status: Port,
    ) -> Result<Replica> {
        let own: Vec<String> =
            own.iter().cloned().chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        Replica::start(name, &self.binary, &with_flags(&program.args, &own), &self.folder, status)
    }
}

async fn ready(replica: Replica) -> Result<Replica> {
    replica.wait_ready().await?;
    Ok(replica)
}

/// A certificate for the webhook's Service, as its files.
fn issue(authority: &Authority, shipped: &Shipped) -> Result<Files> {
    let in_cluster = format!("{}.{}.svc", shipped.webhook_service, shipped.namespace);
    let pair = authority.server(&[&in_cluster, &format!("{in_cluster}.cluster.local")])?;
    let files = [("tls.crt", pair.certificate), ("tls.key", pair.key)];
    Ok(files.map(|(name, text)| (name.to_owned(), text.into_bytes())).into())
}
