//! `--kubeconfig` and `--context`: which cluster a command talks to, as for kubectl.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use kcg_runtime::client::{ClientConfig, ClientError};

use super::{CliError, args};

#[derive(Debug, Default, Args)]
pub(super) struct ClusterArgs {
    /// Path of the kubeconfig [default: KUBECONFIG or ~/.kube/config; in a pod, its ServiceAccount]
    #[arg(long, value_parser = args::path, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current context]
    #[arg(long, value_parser = args::not_empty, value_name = "NAME")]
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

    /// Whether kubectl would find a cluster by its own rules.
    pub(super) fn is_configured(&self) -> bool {
        self.client_config("").has_kubeconfig()
    }
}

/// `--offline`, for a command that reads a cluster only if there is one.
#[derive(Debug)]
pub(super) struct OfflineArg(bool);

impl OfflineArg {
    const ID: &'static str = "offline";

    pub(super) fn is_set(&self) -> bool {
        self.0
    }
}

impl Args for OfflineArg {
    fn augment_args(command: Command) -> Command {
        let help = "Read nothing from the cluster. Otherwise partitions, held counts and names of topics are read \
                    if there is a kubeconfig";
        command.arg(Arg::new(Self::ID).long(Self::ID).action(ArgAction::SetTrue).help(help))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The command line decides before the environment: a variable that names a cluster, which other
/// commands need, does not conflict with `--offline`, and KCG_OFFLINE not with a cluster that a flag
/// names. Clap's own `conflicts_with` does not distinguish them.
impl FromArgMatches for OfflineArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match ["kubeconfig", "context"].into_iter().find(|id| is_given(id)) {
            None => Ok(Self(matches.get_flag(Self::ID))),
            Some(_) if !is_given(Self::ID) => Ok(Self(false)),
            Some(flag) => Err(Error::raw(
                ErrorKind::ArgumentConflict,
                format!("--{} and --{flag} contradict each other: leave one of them out", Self::ID),
            )),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::permanent(error)
    }
}
