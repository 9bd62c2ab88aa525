//! `--kubeconfig` and `--context`: which cluster a command talks to, as for kubectl.

use std::path::{Path, PathBuf};

use clap::Args;
use kcg_runtime::client::{ClientConfig, ClientError};

use super::CliError;

#[derive(Debug, Default, Args)]
pub(super) struct ClusterArgs {
    /// Path of the kubeconfig [default: KUBECONFIG or ~/.kube/config; in a pod, its ServiceAccount]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current context]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ClusterArgs {
    /// The configuration of a client that calls itself `kconsumer-group-operator<suffix>`.
    pub(super) fn client_config(&self, suffix: &str) -> ClientConfig {
        let agent = format!("kconsumer-group-operator{suffix}/{}", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(self.kubeconfig.as_deref(), &agent).with_context(self.context.as_deref())
    }

    /// Whether a flag names the cluster.
    pub(super) fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// Whether kubectl would find a cluster by its own rules: by a flag, by KUBECONFIG or in
    /// ~/.kube/config.
    pub(super) fn is_configured(&self) -> bool {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let in_home = || named("HOME").is_some_and(|home| Path::new(&home).join(".kube/config").is_file());
        self.is_given() || named("KUBECONFIG").is_some() || in_home()
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::permanent(error)
    }
}
