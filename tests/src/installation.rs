//! One cluster with the operator installed from one of the shipped overlays, and its certificates' goings-on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds, Files, Operator, Replica, deploy_folder, tools, wait};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::load::handshake;
use crate::operator_binary;

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long a certificate may take from its order to the webhook that serves it.
pub const RENEWED: Duration = Duration::from_mins(1);

/// Runs the tests at the length that the rotation's full proof has, not the one that fits into every run.
pub const LONG: &str = "KCG_LONG";

/// `short`, or `long` where the long form is asked for.
pub fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Whether the long form is asked for.
pub fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

/// Prints a figure past the capture of a test's output.
pub fn figure(what: &str) {
    tools::to_stderr(&format!("certificates: {what}"));
}

pub struct Place {
    pub operator: Operator,
    pub client: Client,
    pub plane: ControlPlane,
}

impl Place {
    /// Installs an overlay of deploy/overlays/cluster, and a topic of three partitions.
    pub async fn open(overlay: &str) -> Outcome<Arc<Self>> {
        Self::open_from(&deploy_folder()?, overlay).await
    }

    /// The same from a copy of deploy/.
    pub async fn open_from(deploy: &Path, overlay: &str) -> Outcome<Arc<Self>> {
        let crds = Crds::all(deploy.join("crd"));
        let plane =
            ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
        let binary = operator_binary().await?;
        let operator =
            Operator::install(&plane, &deploy.join("overlays/cluster").join(overlay), binary).await?;
        plane.apply_path(&deploy.join("samples/kafkatopic.yaml")).await?;
        Ok(Arc::new(Self { operator, client: plane.client().await?, plane }))
    }

    pub async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(self.plane.kubectl(args).await?.ok()?)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.operator.namespace())
    }

    pub async fn entry(&self, name: &str) -> Outcome<Vec<u8>> {
        let secret = self.secrets().get(self.operator.certificate_secret()).await?;
        let entry = secret.data.unwrap_or_default().remove(name);
        Ok(entry.ok_or_else(|| format!("the Secret has no {name}"))?.0)
    }

    pub async fn edit(&self, entry: &str, content: Option<&[u8]>) -> Outcome {
        let content = content.map(|content| ByteString(content.to_vec()));
        let patch = Patch::Merge(json!({"data": {entry: content}}));
        self.secrets().patch(self.operator.certificate_secret(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until an entry of the Secret is another than it was, and is there.
    pub async fn changed(&self, entry: &str, before: &[u8]) -> Outcome<Vec<u8>> {
        self.changed_within(entry, before, RENEWED).await
    }

    pub async fn changed_within(&self, entry: &str, before: &[u8], limit: Duration) -> Outcome<Vec<u8>> {
        let what = format!("a new {entry} in the Secret");
        let changed = wait::until(&what, limit, async || {
            Ok(match self.entry(entry).await {
                Ok(now) if now != before => Ok(now),
                Ok(_) => Err("it is the old one".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        });
        Ok(changed.await?)
    }

    /// The files that the webhook sees now.
    pub fn files(&self) -> Outcome<Files> {
        let read = |name: &str| {
            Ok((name.to_owned(), std::fs::read(self.operator.certificate_volume().folder().join(name))?))
        };
        ["tls.crt", "tls.key"].into_iter().map(read).collect()
    }

    /// Waits until the webhook shows this certificate.
    pub async fn served(&self, certificate: &[u8]) -> Outcome {
        self.served_within(certificate, RENEWED).await
    }

    pub async fn served_within(&self, certificate: &[u8], limit: Duration) -> Outcome {
        let expected = CertificateDer::from_pem_slice(certificate)?;
        let served = wait::until("the webhook to serve the new certificate", limit, async || {
            Ok(match handshake(self).await {
                Ok(shown) if shown == expected => Ok(()),
                Ok(_) => Err("it shows the old one".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        });
        Ok(served.await?)
    }

    /// What the validating webhook's registration trusts.
    pub async fn bundle(&self) -> Outcome<Vec<u8>> {
        let registration: ValidatingWebhookConfiguration =
            Api::all(self.client.clone()).get(names::NAMESPACE).await?;
        let webhook = registration.webhooks.into_iter().flatten().next();
        let bundle = webhook.and_then(|webhook| webhook.client_config.ca_bundle);
        Ok(bundle.ok_or("the registration has no caBundle")?.0)
    }

    /// Waits until the review of a bad group says what only the webhook knows.
    pub async fn reviews(&self) -> Outcome {
        let sample = deploy_folder()?.join("samples/bad-min-above-partitions.yaml");
        let args = ["create", "--dry-run=server", "-f", &sample.display().to_string()];
        let refused = wait::until("the webhook to know the topic", Duration::from_secs(30), async || {
            let answer = self.plane.kubectl(&args).await?;
            let refused = answer.stderr.contains("topic fast-data-topic has 3 partitions");
            Ok(if refused { Ok(()) } else { Err(answer.stderr + &answer.stdout) })
        });
        Ok(refused.await?)
    }

    /// The key of cert-manager's authority.
    pub async fn authority_key(&self) -> Outcome<Vec<u8>> {
        let secret = self.secrets().get("kconsumer-group-operator-webhook-ca").await?;
        Ok(secret.data.unwrap_or_default().remove("tls.key").ok_or("the authority has no key")?.0)
    }

    /// Orders a Certificate's renewal, as `cmctl renew` does.
    pub async fn renew(&self, certificate: &str) -> Outcome {
        let now =
            self.kubectl(&["get", "certificate", certificate, "-n", names::NAMESPACE, "-o", "json"]).await?;
        let mut now: Value = serde_json::from_str(&now)?;
        let order = json!({
            "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "ordered by a test",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": now["metadata"]["generation"],
        });
        let conditions = now["status"]["conditions"].as_array_mut().ok_or("no conditions yet")?;
        conditions.retain(|condition| condition["type"] != "Issuing");
        conditions.push(order);
        let patch = json!({"status": {"conditions": conditions}}).to_string();
        let certificate = format!("certificate/{certificate}");
        let args = [
            "patch",
            &certificate,
            "-n",
            names::NAMESPACE,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl(&args).await?;
        Ok(())
    }

    /// Waits until an ordered renewal is over.
    pub async fn renewed(&self, certificate: &str) -> Outcome {
        let path = "jsonpath={.status.conditions[?(@.type=='Issuing')].status}";
        let args = ["get", "certificate", certificate, "-n", names::NAMESPACE, "-o", path];
        let renewed = wait::until("cert-manager to renew", RENEWED, async || {
            let issuing = self.plane.kubectl(&args).await?.ok()?;
            Ok(if issuing.contains("True") { Err("it is at it".to_owned()) } else { Ok(()) })
        });
        Ok(renewed.await?)
    }
}

/// How often a webhook has reloaded its certificate with this result.
pub async fn reloads(webhook: &Replica, result: &str) -> kcg_devcluster::Result<u64> {
    let (_, metrics) = webhook.get("/metrics").await?;
    let counted = metrics.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        name.contains(&format!("certificate_reloads_total{{result=\"{result}\"}}"))
            .then(|| value.parse().ok())?
    });
    Ok(counted.unwrap_or_default())
}
