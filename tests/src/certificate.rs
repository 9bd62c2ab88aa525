//! The webhook's certificate on the cluster: its Secret, the CA bundles in the webhook
//! configurations, and what the webhook serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kcg_api::names;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{eventually, met};

/// How long a certificate may take from the request to issue it to the webhook that serves it.
pub const RENEWED: Duration = Duration::from_mins(1);

/// The Secrets and the two webhook configurations of an installation in the shipped namespace.
#[derive(Clone)]
pub struct WebhookCertificate {
    secrets: Api<Secret>,
    mutating: Api<MutatingWebhookConfiguration>,
    validating: Api<ValidatingWebhookConfiguration>,
}

impl WebhookCertificate {
    /// Reads and writes as `client`.
    pub fn new(client: &Client) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), names::NAMESPACE),
            mutating: Api::all(client.clone()),
            validating: Api::all(client.clone()),
        }
    }

    /// The Secret that the webhook mounts.
    pub async fn secret(&self) -> Result<Secret> {
        Ok(self.secrets.get(names::CERTIFICATE_SECRET).await?)
    }

    /// The Secret with the key of the operator's own CA.
    pub async fn ca_secret(&self) -> Result<Secret> {
        Ok(self.secrets.get(names::CA_SECRET).await?)
    }

    /// One entry of the Secret that the webhook mounts, for instance `tls.crt`.
    pub async fn entry(&self, name: &str) -> Result<Vec<u8>> {
        let entry = self.secret().await?.data.unwrap_or_default().remove(name);
        Ok(entry.with_context(|| format!("the Secret has no {name}"))?.0)
    }

    /// Overwrites an entry of the Secret that the webhook mounts, or removes it.
    pub async fn set_entry(&self, name: &str, content: Option<Vec<u8>>) -> Result<()> {
        self.set_entry_of(names::CERTIFICATE_SECRET, name, content).await
    }

    /// Overwrites an entry of a Secret, or removes it.
    pub async fn set_entry_of(&self, secret: &str, name: &str, content: Option<Vec<u8>>) -> Result<()> {
        let patch = Patch::Merge(json!({"data": {name: content.map(ByteString)}}));
        self.secrets.patch(secret, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until an entry of the Secret exists and is not `before`.
    pub async fn changed(&self, entry: &str, before: &[u8], limit: Duration) -> Result<Vec<u8>> {
        eventually(&format!("a new {entry} in the Secret"), limit, async || {
            Ok(match self.entry(entry).await {
                Ok(now) if now != before => Ok(now),
                Ok(_) => Err("it is the old one".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        })
        .await
    }

    /// The CA bundles of all webhooks, first those of the mutating configuration. Empty if one has
    /// no bundle.
    pub async fn ca_bundles(&self) -> Result<Vec<Vec<u8>>> {
        let mutating = self.mutating.get(names::NAMESPACE).await?.webhooks.into_iter().flatten();
        let validating = self.validating.get(names::NAMESPACE).await?.webhooks.into_iter().flatten();
        let configs = mutating
            .map(|webhook| webhook.client_config)
            .chain(validating.map(|webhook| webhook.client_config));
        Ok(configs.map(|config| config.ca_bundle.unwrap_or_default().0).collect())
    }

    /// The CA bundle of the validating webhook, which must have one.
    pub async fn ca_bundle(&self) -> Result<Vec<u8>> {
        let webhook = self.validating.get(names::NAMESPACE).await?.webhooks.into_iter().flatten().next();
        let bundle = webhook.and_then(|webhook| webhook.client_config.ca_bundle);
        Ok(bundle.context("the ValidatingWebhookConfiguration has no caBundle")?.0)
    }

    /// Removes the CA bundles from both webhook configurations.
    pub async fn remove_ca_bundles(&self) -> Result<()> {
        let remove = json!({"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"});
        self.patch_configurations(remove, &PatchParams::default()).await
    }

    /// Writes the CA bundle (PEM) into both webhook configurations, as the controller.
    pub async fn set_ca_bundles(&self, bundle: &str) -> Result<()> {
        let bundle = ByteString(bundle.into());
        let add = json!({"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle});
        self.patch_configurations(add, &PatchParams::apply(names::CERTIFICATES_MANAGER)).await
    }

    async fn patch_configurations(&self, operation: Value, params: &PatchParams) -> Result<()> {
        let patch = Patch::Json::<()>(serde_json::from_value(json!([operation]))?);
        self.mutating.patch(names::NAMESPACE, params, &patch).await?;
        self.validating.patch(names::NAMESPACE, params, &patch).await?;
        Ok(())
    }

    /// A TLS client that trusts what the API server trusts. It resumes no session.
    pub async fn tls_client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.ca_bundle().await?) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// A handshake with a webhook, as of an API server without a connection; the certificate that
    /// the webhook serves.
    pub async fn handshake(&self, webhook: SocketAddr) -> Result<CertificateDer<'static>> {
        let stream = TcpStream::connect(webhook).await?;
        let client = tokio_rustls::TlsConnector::from(self.tls_client().await?);
        let stream = client.connect(server_name()?, stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().context("the webhook served no certificate")?.clone().into_owned())
    }

    /// Waits until a webhook serves this certificate (PEM).
    pub async fn served(&self, webhook: SocketAddr, certificate: &[u8], limit: Duration) -> Result<()> {
        let expected = CertificateDer::from_pem_slice(certificate)?;
        eventually("the webhook serves the new certificate", limit, async || {
            Ok(match self.handshake(webhook).await {
                Ok(served) => met(served == expected, || "it serves the old one".to_owned()),
                Err(error) => Err(format!("{error:#}")),
            })
        })
        .await
    }
}

/// The name in the certificate that the API server asks for.
pub fn server_name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from(names::webhook_host(names::NAMESPACE))?)
}
