//! Which cluster to connect to, and a client without retries.

use std::path::{Path, PathBuf};

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

use super::{DEADLINE, RequestMetrics, chain, retry_after::RetryAfter};

/// Why no client could be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The kubeconfig is missing or not valid.
    #[error("read kubeconfig {}: {}; name a kubeconfig of a cluster that exists", path.display(), chain(source))]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<KubeconfigError>,
    },
    /// There is neither a kubeconfig nor a ServiceAccount.
    #[error(
        "no cluster to talk to: not in a pod, and no kubeconfig in KUBECONFIG or ~/.kube/config; \
         name one with --kubeconfig"
    )]
    NoCluster {
        /// The cause.
        source: Box<InferConfigError>,
    },
    /// The user agent has characters that HTTP headers do not allow.
    #[error("the user agent {0:?} is not a valid HTTP header value")]
    UserAgent(String),
    /// The configuration was read but is not usable, for example its certificates.
    #[error("set up the client: {}", chain(source))]
    Client {
        /// The cause.
        source: Box<kube::Error>,
    },
}

/// Which cluster to connect to, and the user agent to send.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    kubeconfig: Option<PathBuf>,
    user_agent: String,
}

impl ClientConfig {
    /// Without a path, the configuration is `KUBECONFIG`, then `~/.kube/config`, then the pod's
    /// ServiceAccount.
    pub fn new(kubeconfig: Option<&Path>, user_agent: &str) -> Self {
        Self { kubeconfig: kubeconfig.map(Path::to_path_buf), user_agent: user_agent.to_owned() }
    }

    /// Builds a client whose requests are counted in `metrics`. Sends no request.
    pub async fn client(&self, metrics: &RequestMetrics) -> Result<Client, ClientError> {
        build(self.config().await?, &self.user_agent, metrics)
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

/// Disables kube's retry layer: it can hold any request for minutes, while the caller's work queue
/// knows better when to retry.
fn build(mut config: Config, user_agent: &str, metrics: &RequestMetrics) -> Result<Client, ClientError> {
    let agent =
        HeaderValue::from_str(user_agent).map_err(|_| ClientError::UserAgent(user_agent.to_owned()))?;
    config.headers.push((USER_AGENT, agent));
    config.default_retry = false;
    config.connect_timeout = Some(DEADLINE / 2);
    config.write_timeout = Some(DEADLINE);
    let builder =
        ClientBuilder::try_from(config).map_err(|source| ClientError::Client { source: Box::new(source) })?;
    Ok(builder.with_layer(&RetryAfter).with_layer(metrics).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreadable_kubeconfig_is_named_with_a_cure() {
        let config = ClientConfig::new(Some(Path::new("/nowhere/kubeconfig")), "test");
        let error = config.client(&RequestMetrics::default()).await.err().unwrap().to_string();
        assert!(error.starts_with("read kubeconfig /nowhere/kubeconfig: "), "{error}");
        assert!(error.ends_with("name a kubeconfig of a cluster that exists"), "{error}");
    }
}
