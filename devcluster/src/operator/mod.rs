//! The operator, installed from `deploy/` and run as local processes.
//!
//! [`Installation`] applies an overlay as a user does, for any runner of the pods. [`Operator`] is
//! the runner for a cluster without real pods: its replicas are processes with the flags and
//! ServiceAccounts of the Deployments. Only addresses and folders differ.

mod balancer;
mod install;
mod kustomization;
mod overlay;
mod program;
mod replica;
mod secret_mount;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use balancer::Balancer;
pub use install::Installation;
pub use kustomization::PodRunner;
pub use overlay::CertificateMode;
pub use program::{OPERATOR, OPERATOR_BINARY, build_operator, cargo, cargo_build};
pub use replica::Replica;
use replica::ReplicaPorts;

use crate::background::Background;
use crate::control_plane::ControlPlane;
use crate::port::Port;
use crate::volume::ProjectedVolume;
use crate::{Result, wait};
use overlay::Workload;
use secret_mount::SecretMount;

/// The timeout for the webhook's certificate to be issued and mounted.
const CERTIFICATE_LIMIT: Duration = Duration::from_mins(2);

/// An installation with local processes. Installing starts no replica.
#[derive(Debug)]
pub struct Operator {
    installation: Installation,
    binary: PathBuf,
    folder: PathBuf,
    certificate: Arc<ProjectedVolume>,
    secret_mount: SecretMount,
    controller_kubeconfig: PathBuf,
    webhook_kubeconfig: PathBuf,
    webhook_port: Port,
    _background: Background,
}

impl Operator {
    /// Installs an overlay or a scope of `deploy/` for local processes of `binary`, and waits for
    /// the webhook's certificate unless the controller issues it.
    pub async fn install(plane: &ControlPlane, overlay: &Path, binary: &Path) -> Result<Self> {
        let webhook_port = Port::take()?;
        let runner = PodRunner::LocalProcesses { webhook_port: &webhook_port };
        let installation = Installation::apply(plane, overlay, runner).await?;
        let overlay = &installation.overlay;

        let background = Background::start()?;
        let folder = plane.folder().join("operator").join("certificates");
        let volume = ProjectedVolume::create(folder)?;
        // The API server sets the default mode, which the manifest may leave out.
        let mode = overlay.certificate.default_mode.and_then(|mode| u32::try_from(mode).ok());
        let certificate = Arc::new(volume.with_mode(mode.unwrap_or(0o644)));
        let secret_mount = SecretMount::start(
            &background,
            plane.kubeconfig_path().to_owned(),
            overlay.namespace.clone(),
            overlay.certificate.clone(),
            Arc::clone(&certificate),
        );
        if overlay.certificate_mode != CertificateMode::SelfManaged {
            wait::until("the webhook's certificate", CERTIFICATE_LIMIT, async || {
                plane.cert_manager_must_run()?;
                let mounted = certificate.folder().join("tls.crt").exists();
                Ok(mounted.then_some(()).ok_or_else(|| "the Secret has no tls.crt".to_owned()))
            })
            .await?;
        }
        let controller_kubeconfig =
            plane.kubeconfig_for(&overlay.namespace, &overlay.controller.service_account).await?;
        let webhook_kubeconfig =
            plane.kubeconfig_for(&overlay.namespace, &overlay.webhook.service_account).await?;
        Ok(Self {
            binary: binary.into(),
            folder: plane.folder().into(),
            installation,
            certificate,
            secret_mount,
            controller_kubeconfig,
            webhook_kubeconfig,
            webhook_port,
            _background: background,
        })
    }

    /// The operator's namespace.
    pub fn namespace(&self) -> &str {
        self.installation.namespace()
    }

    /// The folder that was applied. `kubectl delete -k` with it removes the installation.
    pub fn kustomization(&self) -> &Path {
        self.installation.kustomization()
    }

    /// The name of the controller's ServiceAccount.
    pub fn controller_account(&self) -> &str {
        &self.installation.overlay.controller.service_account
    }

    /// The name of the webhook's ServiceAccount.
    pub fn webhook_account(&self) -> &str {
        &self.installation.overlay.webhook.service_account
    }

    /// The kubeconfig with the controller's token.
    pub fn controller_kubeconfig(&self) -> &Path {
        &self.controller_kubeconfig
    }

    /// The kubeconfig with the webhook's token.
    pub fn webhook_kubeconfig(&self) -> &Path {
        &self.webhook_kubeconfig
    }

    /// The name of the Secret that the webhook mounts.
    pub fn certificate_secret(&self) -> &str {
        self.installation.overlay.secret_name()
    }

    /// The folder with the webhook's certificate.
    pub fn certificate_volume(&self) -> &ProjectedVolume {
        &self.certificate
    }

    /// Sets the delay between a change of the Secret and the change of the webhook's folder. A
    /// kubelet takes up to a minute and a half.
    pub fn set_secret_delay(&self, delay: Duration) {
        self.secret_mount.set_delay(delay);
    }

    /// The port that the webhook configurations name.
    pub fn webhook_port(&self) -> &Port {
        &self.webhook_port
    }

    /// Waits until every webhook of both webhook configurations has a caBundle.
    pub async fn wait_trusted(&self, plane: &ControlPlane) -> Result<()> {
        self.installation.wait_trusted(plane).await
    }

    /// Starts a controller replica with its own identity and additional flags, and waits until it
    /// is ready. A replica that is not the leader becomes ready as well.
    pub async fn start_controller(&self, identity: &str, flags: &[&str]) -> Result<Replica> {
        ready(self.spawn_controller(identity, flags)?).await
    }

    /// Starts a controller replica without waiting.
    pub fn spawn_controller(&self, identity: &str, flags: &[&str]) -> Result<Replica> {
        let ports = ReplicaPorts::take()?;
        let own = [
            format!("--kubeconfig={}", self.controller_kubeconfig.display()),
            format!("--identity={identity}"),
            format!("--pod-namespace={}", self.namespace()),
        ];
        self.spawn(identity, &self.installation.overlay.controller, &own, flags, ports)
    }

    /// Starts the webhook at the port that the webhook configurations name, with additional flags,
    /// and waits until it is ready.
    pub async fn start_webhook(&self, flags: &[&str]) -> Result<Replica> {
        self.start_webhook_at("webhook", &self.webhook_port, flags).await
    }

    /// Starts the webhook at the port that the webhook configurations name, without waiting.
    pub fn spawn_webhook(&self, flags: &[&str]) -> Result<Replica> {
        self.spawn_webhook_at("webhook", &self.webhook_port, flags)
    }

    /// Starts a webhook replica at another port, and waits until it is ready.
    pub async fn start_webhook_at(&self, name: &str, port: &Port, flags: &[&str]) -> Result<Replica> {
        ready(self.spawn_webhook_at(name, port, flags)?).await
    }

    /// Starts a load balancer at the port that the webhook configurations name, for webhooks at
    /// other ports.
    pub fn start_balancer(&self) -> Result<Balancer> {
        Balancer::start(&self.webhook_port)
    }

    fn spawn_webhook_at(&self, name: &str, port: &Port, flags: &[&str]) -> Result<Replica> {
        let ports = ReplicaPorts::take()?;
        let own = [
            format!("--kubeconfig={}", self.webhook_kubeconfig.display()),
            format!("--webhook-bind-address={}", port.address()),
            format!("--cert-dir={}", self.certificate.folder().display()),
            // No endpoint depends on readiness here, so there is no traffic to drain.
            "--drain-quiet-period=0s".to_owned(),
        ];
        self.spawn(name, &self.installation.overlay.webhook, &own, flags, ports)
    }

    fn spawn(
        &self,
        name: &str,
        workload: &Workload,
        own: &[String],
        flags: &[&str],
        ports: ReplicaPorts,
    ) -> Result<Replica> {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let own: Vec<String> = own.iter().cloned().chain(ports.flags()).chain(flags).collect();
        Replica::start(name, &self.binary, &merge_flags(&workload.args, &own), &self.folder, ports)
    }
}

async fn ready(replica: Replica) -> Result<Replica> {
    replica.wait_ready().await?;
    Ok(replica)
}

/// The flags of the Deployment without those that `own` sets, then `own`. If `own` sets a flag
/// twice, the last wins.
fn merge_flags(deployment: &[String], own: &[String]) -> Vec<String> {
    fn name(flag: &str) -> &str {
        flag.split('=').next().unwrap_or_default()
    }
    let is_set = |flag: &str, own: &[String]| own.iter().any(|other| name(other) == name(flag));
    let deployment = deployment.iter().filter(|flag| !is_set(flag, own));
    let own = own.iter().enumerate().filter(|(index, flag)| !is_set(flag, &own[index + 1..]));
    deployment.chain(own.map(|(_, flag)| flag)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_flag_replaces_an_earlier_one() {
        let flags = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            merge_flags(
                &flags("webhook --webhook-bind-address=a --namespaces=a --namespaces=b"),
                &flags("--webhook-bind-address=c --log=d --log=e")
            ),
            flags("webhook --namespaces=a --namespaces=b --webhook-bind-address=c --log=e")
        );
    }
}
