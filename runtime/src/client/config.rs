//! Which cluster to connect to, and a client without retries.

use std::path::{Path, PathBuf};

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

use super::proxy::{proxy, proxy_url};
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
    context: Option<String>,
    user_agent: String,
}

impl ClientConfig {
    /// Without a path, the configuration is `KUBECONFIG`, then `~/.kube/config`, then the pod's
    /// ServiceAccount.
    pub fn new(kubeconfig: Option<&Path>, user_agent: &str) -> Self {
        Self {
            kubeconfig: kubeconfig.map(Path::to_path_buf),
            context: None,
            user_agent: user_agent.to_owned(),
        }
    }

    /// Another context of the kubeconfig than its current one. The pod's ServiceAccount is not used
    /// then.
    #[must_use]
    pub fn with_context(self, context: Option<&str>) -> Self {
        Self { context: context.map(str::to_owned), ..self }
    }

    /// Whether there is a kubeconfig: one that is named, or one that kubectl would find. A context is
    /// one of a kubeconfig.
    pub fn has_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || default_kubeconfig().is_some()
    }

    /// Builds a client whose requests are counted in `metrics`. Sends no request.
    pub async fn client(&self, metrics: &RequestMetrics) -> Result<Client, ClientError> {
        build(self.config().await?, &self.user_agent, metrics)
    }

    async fn config(&self) -> Result<Config, ClientError> {
        let is_named = self.kubeconfig.is_some() || self.context.is_some();
        let read = self.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
        let loaded = match read {
            Ok(kubeconfig) => self.loaded(kubeconfig).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(config) => Ok(config),
            Err(source) if is_named => {
                let path = self.kubeconfig.clone().or_else(default_kubeconfig);
                let path = path.unwrap_or_else(|| "~/.kube/config".into());
                Err(ClientError::Kubeconfig { path, source: Box::new(source) })
            }
            Err(_) => {
                Config::infer().await.map_err(|source| ClientError::NoCluster { source: Box::new(source) })
            }
        }
    }

    async fn loaded(&self, kubeconfig: Kubeconfig) -> Result<Config, KubeconfigError> {
        let proxy_url = proxy_url(&kubeconfig, self.context.as_deref());
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.proxy_url = proxy(&config.cluster_url, proxy_url, |name| std::env::var(name).ok())
            .map_err(KubeconfigError::ParseProxyUrl)?;
        Ok(config)
    }
}

/// `KUBECONFIG`, which may list several files, or `~/.kube/config` if it exists.
fn default_kubeconfig() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let in_home = || Some(variable("HOME")?.join(".kube/config")).filter(|path| path.is_file());
    variable("KUBECONFIG").or_else(in_home)
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
