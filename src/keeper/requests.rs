//! The keeper's requests: one Secret and two registrations, each by its name.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kcg_api::names;
use kcg_certs::rotation::Entries;
use kcg_runtime::client::{RequestError, with_deadline};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};

use super::KeeperError;

/// The kinds of the registrations, with their plurals.
const KINDS: [(&str, &str); 2] = [
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
];
const API: (&str, &str) = ("admissionregistration.k8s.io", "v1");

/// The client, and what is asked of it.
pub(super) struct Requests {
    client: Client,
    recorder: Recorder,
    namespace: String,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Requests").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The Secret as it was read.
#[derive(Debug)]
pub(super) struct Kept {
    pub entries: Entries,
    secret: Secret,
}

/// A registration as it was read.
#[derive(Debug)]
pub(super) struct Registration {
    kind: &'static str,
    object: DynamicObject,
    /// Each webhook's name, and what it trusts.
    webhooks: Vec<(String, Vec<u8>)>,
}

impl Requests {
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        let reporter = Reporter { controller: names::OPERATOR.into(), instance: Some(identity.into()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, namespace: namespace.into() }
    }

    pub async fn secret(&self) -> Result<Kept, KeeperError> {
        let what = format!("get Secret {}/{}", self.namespace, names::CERTIFICATE_SECRET);
        let found = with_deadline(what, self.secrets().get_opt(names::CERTIFICATE_SECRET)).await?;
        let secret = found.ok_or_else(|| KeeperError::NoSecret { namespace: self.namespace.clone() })?;
        let data = secret.data.iter().flatten();
        let entries = data.map(|(name, content)| (name.clone(), content.0.clone())).collect();
        Ok(Kept { entries, secret })
    }

    /// Writes the entries in place of those that were read; false where they are no longer those.
    pub async fn replace(&self, kept: &Kept, entries: &Entries) -> Result<bool, KeeperError> {
        let data = entries.iter().map(|(name, content)| (name.clone(), ByteString(content.clone())));
        let secret = Secret { data: Some(data.collect()), ..kept.secret.clone() };
        let parameters =
            PostParams { field_manager: Some(names::CERTIFICATES_MANAGER.into()), ..PostParams::default() };
        let what = format!("update Secret {}/{}", self.namespace, names::CERTIFICATE_SECRET);
        match with_deadline(what, self.secrets().replace(names::CERTIFICATE_SECRET, &parameters, &secret))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Both registrations, or why one could not be read.
    pub async fn registrations(&self) -> Vec<Result<Registration, KeeperError>> {
        let [one, other] = KINDS.map(|(kind, plural)| self.registration(kind, plural));
        let (one, other) = tokio::join!(one, other);
        vec![one, other]
    }

    async fn registration(&self, kind: &'static str, plural: &str) -> Result<Registration, KeeperError> {
        let name = &self.namespace;
        let found =
            with_deadline(format!("get {kind} {name}"), self.configurations(kind, plural).get_opt(name))
                .await?;
        let object = found.ok_or_else(|| KeeperError::NoRegistration { kind, name: name.clone() })?;
        Ok(Registration { kind, webhooks: webhooks(&object.data), object })
    }

    /// Makes webhooks trust a bundle, each its own, and touches nothing else of them.
    pub async fn trust(
        &self,
        registration: &Registration,
        bundles: &[(String, Vec<u8>)],
    ) -> Result<(), RequestError> {
        let (kind, name) = (registration.kind, &self.namespace);
        let webhooks: Vec<Value> = bundles
            .iter()
            .map(|(name, bundle)| json!({"name": name, "clientConfig": {"caBundle": ByteString(bundle.clone())}}))
            .collect();
        // With the uid, one that was deleted meanwhile is not made anew by the half.
        let object = json!({
            "apiVersion": format!("{}/{}", API.0, API.1),
            "kind": kind,
            "metadata": {"name": name, "uid": registration.object.metadata.uid},
            "webhooks": webhooks,
        });
        let parameters = PatchParams::apply(names::CERTIFICATES_MANAGER).force();
        let plural = KINDS.iter().find(|known| known.0 == kind).map_or("", |known| known.1);
        let configurations = self.configurations(kind, plural);
        let patch = Patch::Apply(&object);
        with_deadline(format!("patch {kind} {name}"), configurations.patch(name, &parameters, &patch))
            .await?;
        Ok(())
    }

    /// Tells of the Secret. An Event that is lost is only logged: the log says the same.
    pub async fn event(&self, kept: &Kept, note: &str) {
        let event = Event {
            type_: EventType::Warning,
            reason: "CertificateReissued".into(),
            note: Some(note.into()),
            action: "Renew".into(),
            secondary: None,
        };
        let regarding = kept.secret.object_ref(&());
        let recorded =
            with_deadline("record an Event of the Secret", self.recorder.publish(&event, &regarding)).await;
        if let Err(error) = recorded {
            tracing::debug!(%error, "an Event was not recorded");
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn configurations(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: API.0.into(),
            version: API.1.into(),
            api_version: format!("{}/{}", API.0, API.1),
            kind: kind.into(),
            plural: plural.into(),
        };
        Api::all_with(self.client.clone(), &resource)
    }
}

impl Registration {
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What each webhook trusts; empty where it trusts nobody.
    pub fn bundles(&self) -> impl Iterator<Item = Vec<u8>> {
        self.webhooks.iter().map(|(_, bundle)| bundle.clone())
    }

    /// The webhooks for which `bundle`, asked with what one trusts now, answers something else.
    pub fn with_bundles(&self, bundle: impl Fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let wanted = self.webhooks.iter().map(|(name, now)| (name, now, bundle(now)));
        wanted
            .filter(|(_, now, wanted)| *now != wanted)
            .map(|(name, _, wanted)| (name.clone(), wanted))
            .collect()
    }
}

fn webhooks(object: &Value) -> Vec<(String, Vec<u8>)> {
    let webhook = |webhook: &Value| {
        let bundle = webhook.pointer("/clientConfig/caBundle").cloned().unwrap_or_default();
        // The API server lets nothing in that is not base64.
        let bundle: ByteString = serde_json::from_value(bundle).unwrap_or_default();
        Some((webhook["name"].as_str()?.to_owned(), bundle.0))
    };
    object["webhooks"].as_array().into_iter().flatten().filter_map(webhook).collect()
}
