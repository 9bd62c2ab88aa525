//! The two webhook configurations of an installation, and the CA bundles in them.

use k8s_openapi::ByteString;
use kcg_api::names;
use kcg_runtime::client::{RequestError, with_deadline};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

const GROUP: &str = "admissionregistration.k8s.io";
const VERSION: &str = "v1";
/// The annotation that cert-manager's cainjector reads.
const INJECT_CA_FROM: &str = "cert-manager.io/inject-ca-from";
/// The API version of both kinds.
pub(crate) const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// The kinds of webhook configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookConfigurationKind {
    Mutating,
    Validating,
}

impl WebhookConfigurationKind {
    pub(crate) const ALL: [Self; 2] = [Self::Mutating, Self::Validating];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }

    pub(crate) fn api(self, client: &Client) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: GROUP.into(),
            version: VERSION.into(),
            api_version: API_VERSION.into(),
            kind: self.as_str().into(),
            plural: self.plural().into(),
        };
        Api::all_with(client.clone(), &resource)
    }

    /// Reads the webhook configuration `name`; `None` if it does not exist.
    pub(crate) async fn get(
        self,
        client: &Client,
        name: &str,
    ) -> Result<Option<WebhookConfiguration>, RequestError> {
        let what = format!("get {} {name}", self.as_str());
        let found = with_deadline(what, self.api(client).get_opt(name)).await?;
        Ok(found.map(|object| WebhookConfiguration::new(self, object)))
    }

    /// Reads the webhook configuration `name`, and those of any name with a webhook that calls the
    /// operator's Service in `namespace`.
    pub(crate) async fn of_installation(
        self,
        client: &Client,
        name: &str,
        namespace: &str,
    ) -> Result<Vec<WebhookConfiguration>, RequestError> {
        let what = format!("list {}", self.plural());
        let all = with_deadline(what, self.api(client).list(&ListParams::default())).await?;
        let is_ours = |object: &DynamicObject| object.name_any() == name || calls(&object.data, namespace);
        let ours = all.items.into_iter().filter(is_ours);
        Ok(ours.map(|object| WebhookConfiguration::new(self, object)).collect())
    }
}

fn calls(object: &Value, namespace: &str) -> bool {
    object["webhooks"].as_array().into_iter().flatten().any(|webhook| {
        let service = &webhook["clientConfig"]["service"];
        service["name"] == names::WEBHOOK && service["namespace"] == namespace
    })
}

/// The part of a webhook configuration that matters here.
#[derive(Debug)]
pub(crate) struct WebhookConfiguration {
    pub(crate) kind: WebhookConfigurationKind,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// The Certificate, as NAMESPACE/NAME, from which cert-manager writes the CA bundles.
    pub(crate) injected_from: Option<String>,
    /// The name and the CA bundle of each webhook.
    webhooks: Vec<(String, Vec<u8>)>,
}

impl WebhookConfiguration {
    fn new(kind: WebhookConfigurationKind, object: DynamicObject) -> Self {
        Self {
            kind,
            name: object.name_any(),
            webhooks: webhooks(&object.data),
            injected_from: object.annotations().get(INJECT_CA_FROM).cloned(),
            uid: object.metadata.uid,
            resource_version: object.metadata.resource_version,
        }
    }

    /// The CA bundle of each webhook (PEM); empty if it is not set.
    pub(crate) fn ca_bundles(&self) -> impl Iterator<Item = Vec<u8>> {
        self.webhooks.iter().map(|(_, bundle)| bundle.clone())
    }

    /// The name and the new CA bundle of each webhook for which `expected`, called with the current
    /// bundle, returns another one.
    pub(crate) fn outdated(&self, expected: impl Fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let all = self.webhooks.iter().map(|(name, current)| (name, current, expected(current)));
        all.filter(|(_, current, expected)| *current != expected)
            .map(|(name, _, expected)| (name.clone(), expected))
            .collect()
    }
}

fn webhooks(object: &Value) -> Vec<(String, Vec<u8>)> {
    let webhook = |webhook: &Value| {
        let bundle = webhook.pointer("/clientConfig/caBundle").cloned().unwrap_or_default();
        // Not set, or base64: the API server rejects anything else.
        let bundle: ByteString = serde_json::from_value(bundle).unwrap_or_default();
        Some((webhook["name"].as_str()?.to_owned(), bundle.0))
    };
    object["webhooks"].as_array().into_iter().flatten().filter_map(webhook).collect()
}
