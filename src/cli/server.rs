//! What both servers share: their flags, their signals, their runtime.

use clap::Args;
use kcg_api::valid::TopicGrants;
use kcg_runtime::client::{ClientConfig, ClientError};
use kcg_runtime::watch::Scope;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, namespaces, telemetry};

// Flattened beside others of that name: clap would take them for one group.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Flags {
    /// The cluster's kubeconfig; left out: KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub status_addr: SocketAddr,
    /// The namespaces whose KconsumerGroups count; left out: all
    #[arg(long, value_delimiter = ',', value_parser = namespaces::listed, value_name = "NAMESPACE,...")]
    namespaces: Vec<String>,
    /// Other namespaces whose KafkaTopics a group may name; * is all
    #[arg(long, value_delimiter = ',', value_parser = namespaces::listed_or_every, value_name = "NAMESPACE,...")]
    topic_namespaces: Vec<String>,
    #[command(flatten)]
    telemetry: telemetry::Flags,
}

impl Flags {
    /// Where groups and their children are.
    pub fn scope(&self) -> Scope {
        let names = namespaces::named(&self.namespaces);
        if names.is_empty() { Scope::All } else { Scope::Namespaces(names.into_iter().collect()) }
    }

    /// Where KafkaTopics are: beside the groups, and where a group may look beyond its own namespace.
    pub fn topic_scope(&self) -> Scope {
        match (self.scope(), self.grants()) {
            (Scope::All, _) | (_, TopicGrants::Every) => Scope::All,
            (Scope::Namespaces(names), TopicGrants::Own) => Scope::Namespaces(names),
            (Scope::Namespaces(names), TopicGrants::Named(granted)) => {
                Scope::Namespaces(names.into_iter().chain(granted).collect())
            }
        }
    }

    pub fn grants(&self) -> TopicGrants {
        TopicGrants::from_flag(&namespaces::named(&self.topic_namespaces))
    }

    pub fn access(&self) -> ClientConfig {
        let agent = concat!("kconsumer-group-operator/", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(self.kubeconfig.as_deref(), agent)
    }
}

/// Runs a server until it ends by itself or is told to stop by SIGTERM or Ctrl-C.
pub fn run<S, F>(flags: &Flags, serve: S) -> Result<ExitCode, Failure>
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    flags.telemetry.begin()?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::passing(format_args!("start the runtime's threads: {error}")))?;
    let outcome = runtime.block_on(async {
        // Before anything that takes time: a signal that comes early must not kill the process half-started.
        serve(stop_signal()?).await
    });
    // What is still running has no one left to report to.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Lets the process have as many open files as it may: some container runtimes start one with 1024, fewer than the
/// connections that the admission port bounds itself.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, ?limit, "the number of open files stays as it is");
    }
}

fn stop_signal() -> Result<CancellationToken, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::passing(format_args!("listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("told to stop by SIGTERM"),
            _ = interrupt.recv() => tracing::info!("told to stop by SIGINT"),
        }
        told.cancel();
    });
    Ok(stop)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::lasting(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        flags: Flags,
    }

    fn scopes(arguments: &[&str]) -> (Scope, Scope) {
        let flags = Server::parse_from(["server"].iter().chain(arguments)).flags;
        (flags.scope(), flags.topic_scope())
    }

    #[test]
    fn what_a_list_of_namespaces_leaves_empty_is_never_looked_into() {
        let of = |names: &[&str]| Scope::Namespaces(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(scopes(&["--namespaces=a,"]), (of(&["a"]), of(&["a"])));
        assert_eq!(scopes(&["--namespaces=a", "--topic-namespaces=,b"]), (of(&["a"]), of(&["a", "b"])));
        assert_eq!(scopes(&["--namespaces=", "--topic-namespaces="]), (Scope::All, Scope::All));
        assert_eq!(scopes(&["--namespaces=a", "--topic-namespaces=*"]), (of(&["a"]), Scope::All));
    }
}
