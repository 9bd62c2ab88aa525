//! Clients, tokens and kubeconfig files for the administrator and for ServiceAccounts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::ControlPlane;
use crate::credentials::Component;
use crate::kubectl::{Kubectl, KubectlOutput};
use crate::{Error, Result};

/// The lifetime of a ServiceAccount token in seconds.
const TOKEN_SECONDS: i64 = 24 * 3600;

impl ControlPlane {
    /// The administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// A new client with the administrator's rights. A client is bound to the runtime that created
    /// it, so each runtime needs its own.
    pub async fn client(&self) -> Result<Client> {
        client_for(&self.kubeconfig).await
    }

    /// The administrator's kubectl.
    pub fn kubectl_command(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Runs kubectl as the administrator.
    pub async fn kubectl(&self, args: &[&str]) -> Result<KubectlOutput> {
        self.kubectl.run(args).await
    }

    /// A kubectl that authenticates as a ServiceAccount.
    pub async fn kubectl_as(&self, namespace: &str, service_account: &str) -> Result<Kubectl> {
        let kubeconfig = self.kubeconfig_for(namespace, service_account).await?;
        Ok(Kubectl::new(self.tools.file("kubectl")?, &kubeconfig, self.folder()))
    }

    /// The environment variables with which any program reaches this cluster: KUBECONFIG, and a
    /// PATH that contains kubectl.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let mut folders = vec![self.tools.kubectl_folder()?.to_owned()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(folders)
            .map_err(|error| Error::Missing(format!("cannot add the folder of kubectl to PATH: {error}")))?;
        let mut variables = vec![("PATH", path)];
        variables.extend(self.kubectl.environment().map(|(name, value)| (name, value.into_os_string())));
        Ok(variables)
    }

    /// Requests a token of an existing ServiceAccount from the TokenRequest API.
    pub async fn token_for(&self, namespace: &str, service_account: &str) -> Result<String> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec =
            TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let action = format!("request a token of ServiceAccount {namespace}/{service_account}");
        let response = api.create_token_request(service_account, &PostParams::default(), &request).await;
        let status = response.map_err(Error::kube(&action))?.status;
        status
            .and_then(|status| status.token)
            .ok_or_else(|| Error::Missing(format!("{action}: the response contains no token")))
    }

    /// Writes a kubeconfig with a token of a ServiceAccount and returns its path.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let token = self.token_for(namespace, service_account).await?;
        self.credentials.kubeconfig(&format!("{namespace}-{service_account}.kubeconfig"), &token)
    }

    /// Writes a kubeconfig for prometheus-operator and Prometheus and returns its path.
    pub fn monitoring_kubeconfig(&self) -> Result<PathBuf> {
        self.credentials.component(Component::Monitoring)
    }

    /// The token in that kubeconfig, and the path of the API server's CA certificate.
    pub fn monitoring_access(&self) -> (String, String) {
        (self.credentials.token(Component::Monitoring), self.credentials.file("ca.crt"))
    }
}

/// A client for a kubeconfig file.
pub async fn client_for(kubeconfig: &Path) -> Result<Client> {
    let invalid = |reason: String| Error::Parse { what: kubeconfig.display().to_string(), reason };
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(|error| invalid(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| invalid(error.to_string()))?;
    Client::try_from(config).map_err(Error::kube("create a client"))
}
