//! The requests of the rotation: two Secrets and two webhook configurations, each by its name.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kcg_api::names;
use kcg_certs::rotation::{Entries, Secrets};
use kcg_runtime::client::{RequestError, with_deadline};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::EventType;
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};

use super::{CertRotatorConfig, CertRotatorError};
use crate::events::EventRecorder;
use crate::webhook_configurations::{API_VERSION, WebhookConfiguration, WebhookConfigurationKind};

pub(super) struct RotationRequests {
    client: Client,
    events: EventRecorder,
    namespace: String,
    /// The name of both webhook configurations.
    webhook_configuration: String,
}

impl std::fmt::Debug for RotationRequests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RotationRequests").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The two Secrets as they were read.
#[derive(Debug)]
pub(super) struct StoredSecrets {
    pub(super) content: Secrets,
    ca: Secret,
    serving: Secret,
}

impl RotationRequests {
    pub(super) fn new(client: Client, config: &CertRotatorConfig) -> Self {
        let events = EventRecorder::new(client.clone(), &config.identity);
        Self {
            client,
            events,
            namespace: config.namespace.clone(),
            webhook_configuration: config.webhook_configuration.clone(),
        }
    }

    /// Reads both Secrets. If only that of the CA cannot be read, the error comes with the content of
    /// the other one.
    pub(super) async fn secrets(&self) -> Result<StoredSecrets, (Secrets, CertRotatorError)> {
        let (ca, serving) =
            tokio::join!(self.secret(names::CA_SECRET), self.secret(names::CERTIFICATE_SECRET));
        let serving = serving.map_err(|error| (Secrets::default(), error))?;
        let mut content = Secrets { ca: Entries::new(), serving: entries(&serving) };
        match ca {
            Ok(ca) => {
                content.ca = entries(&ca);
                Ok(StoredSecrets { content, ca, serving })
            }
            Err(error) => Err((content, error)),
        }
    }

    async fn secret(&self, name: &'static str) -> Result<Secret, CertRotatorError> {
        let what = format!("get Secret {}/{name}", self.namespace);
        let found = with_deadline(what, self.api().get_opt(name)).await?;
        found.ok_or_else(|| CertRotatorError::NoSecret { namespace: self.namespace.clone(), name })
    }

    /// Replaces what was read by `wanted`, first in the CA's Secret. Returns false if a Secret that has
    /// to change was changed since it was read.
    pub(super) async fn replace(
        &self,
        stored: &StoredSecrets,
        wanted: &Secrets,
    ) -> Result<bool, CertRotatorError> {
        let StoredSecrets { content, ca, serving } = stored;
        if content.ca != wanted.ca && !self.replace_one(names::CA_SECRET, ca, &wanted.ca).await? {
            return Ok(false);
        }
        if content.serving == wanted.serving {
            return Ok(true);
        }
        self.replace_one(names::CERTIFICATE_SECRET, serving, &wanted.serving).await
    }

    async fn replace_one(
        &self,
        name: &'static str,
        stored: &Secret,
        entries: &Entries,
    ) -> Result<bool, CertRotatorError> {
        let data = entries.iter().map(|(name, content)| (name.clone(), ByteString(content.clone())));
        let secret = Secret { data: Some(data.collect()), ..stored.clone() };
        let parameters =
            PostParams { field_manager: Some(names::CERTIFICATES_MANAGER.into()), ..PostParams::default() };
        let what = format!("update Secret {}/{name}", self.namespace);
        match with_deadline(what, self.api().replace(name, &parameters, &secret)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Both webhook configurations, or why one cannot be read.
    pub(super) async fn webhook_configurations(&self) -> [Result<WebhookConfiguration, CertRotatorError>; 2] {
        let [mutating, validating] =
            WebhookConfigurationKind::ALL.map(|kind| self.webhook_configuration(kind));
        tokio::join!(mutating, validating).into()
    }

    async fn webhook_configuration(
        &self,
        kind: WebhookConfigurationKind,
    ) -> Result<WebhookConfiguration, CertRotatorError> {
        let name = &self.webhook_configuration;
        let found = kind.get(&self.client, name).await?;
        found.ok_or_else(|| CertRotatorError::NoWebhookConfiguration {
            kind: kind.as_str(),
            name: name.clone(),
        })
    }

    /// Writes the CA bundles of webhooks, by the webhook's name, and no other field. Returns false if
    /// the configuration has changed since it was read.
    pub(super) async fn apply_ca_bundles(
        &self,
        configuration: &WebhookConfiguration,
        bundles: &[(String, Vec<u8>)],
    ) -> Result<bool, RequestError> {
        let (kind, name) = (configuration.kind, &configuration.name);
        let webhooks: Vec<Value> = bundles
            .iter()
            .map(|(name, bundle)| json!({"name": name, "clientConfig": {"caBundle": ByteString(bundle.clone())}}))
            .collect();
        // The uid keeps server-side apply from creating an incomplete object after a deletion.
        let object = json!({
            "apiVersion": API_VERSION,
            "kind": kind.as_str(),
            "metadata": {
                "name": name,
                "uid": configuration.uid,
                "resourceVersion": configuration.resource_version,
            },
            "webhooks": webhooks,
        });
        let parameters = PatchParams::apply(names::CERTIFICATES_MANAGER).force();
        let (api, patch) = (kind.api(&self.client), Patch::Apply(&object));
        let what = format!("patch {} {name}", kind.as_str());
        match with_deadline(what, api.patch(name, &parameters, &patch)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records a Warning about the Secret of the certificate.
    pub(super) async fn warn(&self, stored: &StoredSecrets, note: &str) {
        let regarding = stored.serving.object_ref(&());
        self.events.record(&regarding, EventType::Warning, "Renew", "CertificateReissued", note).await;
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn entries(secret: &Secret) -> Entries {
    let data = secret.data.iter().flatten();
    data.map(|(name, content)| (name.clone(), content.0.clone())).collect()
}
