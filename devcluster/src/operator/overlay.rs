//! An overlay of `deploy/`, as kubectl renders it, and the names and flags in it.

use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec, SecretVolumeSource};
use kube::ResourceExt;
use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::{Error, Result};

/// Who issues the webhook's certificate and sets the caBundle of the webhook configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateMode {
    /// cert-manager: the overlay contains a Certificate.
    CertManager,
    /// The controller: the overlay contains the Secret that it fills.
    SelfManaged,
    /// The user. The installation takes the user's place: it issues the certificate.
    Provided,
}

/// One of the operator's Deployments, as far as it matters to a local process.
#[derive(Debug)]
pub(super) struct Workload {
    pub service_account: String,
    /// The subcommand and its flags, with the values of `$(POD_NAMESPACE)` and of the variables that
    /// have one.
    pub args: Vec<String>,
}

/// A ValidatingWebhookConfiguration or a MutatingWebhookConfiguration.
#[derive(Debug)]
pub(super) struct WebhookConfiguration {
    pub kind: String,
    pub name: String,
    /// The number of its webhooks.
    pub webhooks: usize,
}

/// A rendered overlay.
#[derive(Debug)]
pub(super) struct Overlay {
    pub folder: PathBuf,
    pub namespace: String,
    pub controller: Workload,
    pub webhook: Workload,
    pub webhook_service: String,
    pub webhook_configurations: Vec<WebhookConfiguration>,
    pub certificate_mode: CertificateMode,
    /// The Secret that the webhook mounts.
    pub certificate: SecretVolumeSource,
}

impl Overlay {
    /// Renders the overlay with `kubectl kustomize` and reads it.
    pub(super) async fn render(kubectl: &Kubectl, folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
        let path = folder.display().to_string();
        let text = kubectl.run(&["kustomize", &path]).await?.ok()?;
        let invalid = |reason: String| Error::Parse { what: format!("the rendered {path}"), reason };
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| invalid(error.to_string()))?;
        Self::read(&objects, folder).map_err(|missing| {
            invalid(format!("it contains no {missing}: name an overlay or a scope of deploy/"))
        })
    }

    /// The error names what is missing.
    fn read(objects: &[Value], folder: PathBuf) -> Result<Self, &'static str> {
        let controller = deployment(objects, "-controller").ok_or("Deployment named *-controller")?;
        let webhook = deployment(objects, "-webhook").ok_or("Deployment named *-webhook")?;
        let certificate = secret_volume(&webhook).ok_or("Deployment *-webhook with a Secret volume")?;
        let webhook_configurations: Vec<_> = objects.iter().filter_map(webhook_configuration).collect();
        let service = objects
            .iter()
            .find_map(|object| object.pointer("/webhooks/0/clientConfig/service/name")?.as_str())
            .ok_or("webhook configuration with a service")?;
        Ok(Self {
            folder,
            namespace: webhook.namespace().ok_or("namespace of Deployment *-webhook")?,
            controller: workload(controller).ok_or("container in Deployment *-controller")?,
            webhook: workload(webhook).ok_or("container in Deployment *-webhook")?,
            webhook_service: service.to_owned(),
            webhook_configurations,
            certificate_mode: certificate_mode(objects, &certificate),
            certificate,
        })
    }

    /// The name of the Secret with the webhook's certificate.
    pub(super) fn secret_name(&self) -> &str {
        self.certificate.secret_name.as_deref().unwrap_or_default()
    }
}

fn certificate_mode(objects: &[Value], certificate: &SecretVolumeSource) -> CertificateMode {
    let is_secret = |object: &Value| {
        object["kind"] == "Secret"
            && object["metadata"]["name"].as_str() == certificate.secret_name.as_deref()
    };
    if objects.iter().any(|object| object["kind"] == "Certificate") {
        CertificateMode::CertManager
    } else if objects.iter().any(is_secret) {
        CertificateMode::SelfManaged
    } else {
        CertificateMode::Provided
    }
}

fn deployment(objects: &[Value], suffix: &str) -> Option<Deployment> {
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    deployments
        .filter_map(|object| serde_json::from_value::<Deployment>(object.clone()).ok())
        .find(|deployment| deployment.name_any().ends_with(suffix))
}

fn pod_spec(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.template.spec.as_ref()
}

fn workload(deployment: Deployment) -> Option<Workload> {
    let namespace = deployment.namespace()?;
    let pod = deployment.spec.template.spec?;
    let Container { args, env, .. } = pod.containers.into_iter().next()?;
    let mut variables = vec![("POD_NAMESPACE".to_owned(), namespace)];
    variables.extend(env.into_iter().flatten().filter_map(|variable| Some((variable.name, variable.value?))));
    let expand = |arg: String| {
        variables.iter().fold(arg, |arg, (name, value)| arg.replace(&format!("$({name})"), value))
    };
    let args = args?.into_iter().map(expand).collect();
    Some(Workload { service_account: pod.service_account_name?, args })
}

fn secret_volume(deployment: &Deployment) -> Option<SecretVolumeSource> {
    pod_spec(deployment)?.volumes.iter().flatten().find_map(|volume| volume.secret.clone())
}

fn webhook_configuration(object: &Value) -> Option<WebhookConfiguration> {
    let kind = object["kind"].as_str()?;
    if !["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"].contains(&kind) {
        return None;
    }
    let name = object["metadata"]["name"].as_str()?.to_owned();
    Some(WebhookConfiguration { kind: kind.to_owned(), name, webhooks: object["webhooks"].as_array()?.len() })
}
