//! The client: where the cluster is, who asks, and a connection that neither waits forever nor retries on its own.

use std::path::{Path, PathBuf};

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

use super::{DEADLINE, RequestMetrics, chain};

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("read kubeconfig {}: {}; name a kubeconfig of a cluster that exists", path.display(), chain(source))]
    Kubeconfig { path: PathBuf, source: Box<KubeconfigError> },
    #[error(
        "no cluster to talk to: not in a pod, and no kubeconfig in KUBECONFIG or ~/.kube/config; \
         name one with --kubeconfig"
    )]
    NoCluster { source: Box<InferConfigError> },
    #[error("the user agent {0:?} cannot stand in an HTTP header")]
    UserAgent(String),
    #[error("set up the client: {}", chain(source))]
    Client { source: Box<kube::Error> },
}

/// Which cluster, and in whose name.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    kubeconfig: Option<PathBuf>,
    user_agent: String,
}

impl ClientConfig {
    /// Without a path: `KUBECONFIG`, then `~/.kube/config`, then the pod's own ServiceAccount.
    pub fn new(kubeconfig: Option<&Path>, user_agent: &str) -> Self {
        Self { kubeconfig: kubeconfig.map(Path::to_path_buf), user_agent: user_agent.to_owned() }
    }

    /// A client whose requests are counted in `requests`. Nothing is sent yet.
    pub async fn client(&self, requests: &RequestMetrics) -> Result<Client, ClientError> {
        counted_client(self.config().await?, &self.user_agent, requests)
    }

    async fn config(&self) -> Result<Config, ClientError> {
        let Some(path) = &self.kubeconfig else {
            return Config::infer()
                .await
                .map_err(|source| ClientError::NoCluster { source: Box::new(source) });
        };
        let unreadable = |source| ClientError::Kubeconfig { path: path.clone(), source: Box::new(source) };
        let kubeconfig = Kubeconfig::read_from(path).map_err(unreadable)?;
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(unreadable)
    }
}

/// The retry layer is left out: it holds a caller for minutes, on every method, where the queue above knows
/// better when to try again.
fn counted_client(
    mut config: Config,
    user_agent: &str,
    requests: &RequestMetrics,
) -> Result<Client, ClientError> {
    let agent =
        HeaderValue::from_str(user_agent).map_err(|_| ClientError::UserAgent(user_agent.to_owned()))?;
    config.headers.push((USER_AGENT, agent));
    config.default_retry = false;
    config.connect_timeout = Some(DEADLINE / 2);
    config.write_timeout = Some(DEADLINE);
    let builder =
        ClientBuilder::try_from(config).map_err(|source| ClientError::Client { source: Box::new(source) })?;
    Ok(builder.with_layer(requests).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named_with_its_cure() {
        let access = ClientConfig::new(Some(Path::new("/nowhere/kubeconfig")), "test");
        let said = access.client(&RequestMetrics::default()).await.err().unwrap().to_string();
        assert!(said.starts_with("read kubeconfig /nowhere/kubeconfig: "), "{said}");
        assert!(said.ends_with("name a kubeconfig of a cluster that exists"), "{said}");
    }
}
