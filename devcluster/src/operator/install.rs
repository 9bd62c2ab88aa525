//! Installs the operator from `deploy/`, for any runner of its pods.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kustomization::{self, PodRunner, ProvidedCertificate};
use super::overlay::{CertificateMode, Overlay};
use crate::control_plane::ControlPlane;
use crate::pki::Ca;
use crate::{Result, wait};

/// The timeout for a new cluster to issue the certificate and to set the caBundle of every webhook.
const TRUST_LIMIT: Duration = Duration::from_mins(2);
const AVAILABLE_LIMIT: Duration = Duration::from_mins(2);

/// An applied overlay.
#[derive(Debug)]
pub struct Installation {
    pub(super) overlay: Overlay,
    kustomization: PathBuf,
}

impl Installation {
    /// Applies an overlay or a scope of `deploy/` with `kubectl apply -k`, as a user does. Starts
    /// cert-manager if the overlay needs it; issues the certificate if the overlay leaves that to
    /// the user.
    pub async fn apply(plane: &ControlPlane, overlay: &Path, runner: PodRunner<'_>) -> Result<Self> {
        let overlay = Overlay::render(plane.kubectl_command(), overlay).await?;
        let provided = match overlay.certificate_mode {
            CertificateMode::CertManager => {
                plane.start_cert_manager().await?;
                None
            }
            CertificateMode::SelfManaged => None,
            CertificateMode::Provided => Some(issue(&overlay)?),
        };
        let kustomization = plane.folder().join("operator").join("kustomize");
        kustomization::write(&kustomization, &overlay, runner, provided.as_ref())?;
        plane.kubectl(&["apply", "-k", &kustomization.display().to_string()]).await?.ok()?;
        Ok(Self { overlay, kustomization })
    }

    /// The operator's namespace.
    pub fn namespace(&self) -> &str {
        &self.overlay.namespace
    }

    /// The folder that was applied. `kubectl delete -k` with it removes the installation.
    pub fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// Waits until every Deployment is Available, which only a node can bring about.
    pub async fn wait_available(&self, plane: &ControlPlane) -> Result<()> {
        let namespace = format!("--namespace={}", self.overlay.namespace);
        let timeout = format!("--timeout={}s", AVAILABLE_LIMIT.as_secs());
        let args = ["wait", "deployment", "--all", &namespace, "--for=condition=Available", &timeout];
        plane.kubectl(&args).await?.ok().map(drop)
    }

    /// Waits until every webhook of both webhook configurations has a caBundle.
    pub async fn wait_trusted(&self, plane: &ControlPlane) -> Result<()> {
        wait::until("every webhook to have a caBundle", TRUST_LIMIT, async || {
            for configuration in &self.overlay.webhook_configurations {
                let (kind, name) = (&configuration.kind, &configuration.name);
                let path = "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
                let bundles = plane.kubectl(&["get", kind, name, "-o", path]).await?.ok()?;
                if bundles.lines().filter(|bundle| !bundle.is_empty()).count() < configuration.webhooks {
                    return Ok(Err(format!("{kind} {name} has a webhook without one")));
                }
            }
            Ok(Ok(()))
        })
        .await
    }
}

/// A certificate for the webhook's Service.
fn issue(overlay: &Overlay) -> Result<ProvidedCertificate> {
    let host = format!("{}.{}.svc", overlay.webhook_service, overlay.namespace);
    let ca = Ca::new("devcluster-webhook")?;
    let key = ca.server(&[&host, &format!("{host}.cluster.local")])?;
    Ok(ProvidedCertificate { ca, key })
}
