//! The parts that both servers share: flags, signals and the async runtime.

use std::io;
use std::panic;
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::sync::Arc;

use clap::Args;
use kcg_api::spec_bounds;
use kcg_api::valid::TopicGrants;
use kcg_runtime::client::ClientConfig;
use kcg_runtime::listen::BindAddress;
use kcg_runtime::watch::Scope;
use kcg_webhook::group_defaults::{self, DefaultsFile};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{self, OptionalAddress};
use super::cluster_args::ClusterArgs;
use super::{CliError, telemetry};

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Address on which /metrics is served; without an ADDRESS, on all IPv4 and IPv6 addresses; 0
    /// serves no metrics
    #[arg(long, default_value = ":8080", value_name = "[ADDRESS]:PORT")]
    metrics_bind_address: OptionalAddress,
    /// Address on which /healthz and /readyz are served; 0 serves no probes
    #[arg(long, default_value = ":8081", value_name = "[ADDRESS]:PORT")]
    health_probe_bind_address: OptionalAddress,
    /// Namespaces whose KconsumerGroups the operator manages [default: all]
    #[arg(long, value_delimiter = ',', value_parser = args::namespace_item, value_name = "NAMESPACE,...")]
    namespaces: Vec<String>,
    /// Namespaces, besides its own, whose KafkaTopics a group may use; * allows all
    #[arg(long, value_delimiter = ',', value_parser = args::namespace_item_or_all, value_name = "NAMESPACE,...")]
    topic_namespaces: Vec<String>,
    /// Bytes of a group's spec as compact JSON. A longer spec is refused at admission; a stored group
    /// that has one still runs, with a warning
    #[arg(long, default_value_t = spec_bounds::MAX_BYTES, value_parser = args::spec_bytes, value_name = "BYTES")]
    pub(super) max_spec_bytes: usize,
    /// File with the defaults of this installation for all groups; changes are picked up without a
    /// restart [default: the product's defaults]
    #[arg(long, value_parser = args::path, value_name = "FILE")]
    defaults: Option<PathBuf>,
    #[command(flatten)]
    log: telemetry::LogArgs,
}

impl ServerArgs {
    /// The namespaces of groups and their owned resources.
    pub(super) fn scope(&self) -> Scope {
        let names = args::without_empty(&self.namespaces);
        if names.is_empty() { Scope::All } else { Scope::Namespaces(names.into_iter().collect()) }
    }

    /// The namespaces of KafkaTopics: those of the groups, and those that groups may use in
    /// addition.
    pub(super) fn topic_scope(&self) -> Scope {
        match (self.scope(), self.grants()) {
            (Scope::All, _) | (_, TopicGrants::Every) => Scope::All,
            (Scope::Namespaces(names), TopicGrants::Own) => Scope::Namespaces(names),
            (Scope::Namespaces(names), TopicGrants::Named(granted)) => {
                Scope::Namespaces(names.into_iter().chain(granted).collect())
            }
        }
    }

    pub(super) fn grants(&self) -> TopicGrants {
        TopicGrants::from_flag(&args::without_empty(&self.topic_namespaces))
    }

    /// The address of /metrics; `None`: it is not served.
    pub(super) fn metrics_address(&self) -> Option<BindAddress> {
        self.metrics_bind_address.0
    }

    /// The address of /healthz and /readyz; `None`: they are not served.
    pub(super) fn probes_address(&self) -> Option<BindAddress> {
        self.health_probe_bind_address.0
    }

    /// The file of defaults, which is not read yet.
    pub(super) fn defaults(&self) -> Arc<DefaultsFile> {
        Arc::new(group_defaults::file(self.defaults.clone()))
    }

    /// Fails if a flag contradicts another one. `further` are the listeners of one of the servers, by
    /// their flags.
    fn check(&self, further: &[(&str, BindAddress)]) -> Result<(), CliError> {
        let shared = [
            ("metrics-bind-address", self.metrics_address()),
            ("health-probe-bind-address", self.probes_address()),
        ];
        let shared = shared.into_iter().filter_map(|(flag, address)| Some((flag, address?)));
        let listeners: Vec<_> = shared.chain(further.iter().copied()).collect();
        for (index, (flag, address)) in listeners.iter().enumerate() {
            if let Some((other, taken)) =
                listeners[..index].iter().find(|(_, taken)| address.overlaps(*taken))
            {
                return Err(CliError::permanent(format_args!(
                    "--{flag}={address} contradicts --{other}={taken}: each needs a port of its own"
                )));
            }
        }
        self.check_namespaces()
    }

    /// A Role grants nothing in namespaces that are not known.
    fn check_namespaces(&self) -> Result<(), CliError> {
        let namespaces = args::without_empty(&self.namespaces);
        if !namespaces.is_empty() && self.grants() == TopicGrants::Every {
            return Err(CliError::permanent(format_args!(
                "--topic-namespaces=* (KCG_TOPIC_NAMESPACES) contradicts --namespaces={} (KCG_NAMESPACES): Roles \
                 cannot be granted in every namespace; list the namespaces of the topics in --topic-namespaces, or \
                 leave --namespaces empty",
                namespaces.join(",")
            )));
        }
        Ok(())
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        self.cluster.client_config("")
    }
}

/// Runs a server until it fails, or until SIGTERM or Ctrl-C. `further` are the addresses on which it
/// listens besides those of the shared flags, by their flags.
pub(super) fn run<S, F>(
    args: &ServerArgs,
    further: &[(&str, BindAddress)],
    serve: S,
) -> Result<ExitCode, CliError>
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = Result<(), CliError>>,
{
    args.check(further)?;
    args.log.init()?;
    raise_open_files();
    let runtime = start_runtime()
        .map_err(|error| CliError::temporary(format_args!("start the async runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        // First, so that an early signal does not kill a half-started process.
        serve(stop_signal()?).await
    });
    // Does not wait for tasks that are still running.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The runtime of the process, which ends if it gets too few threads: tokio panics then, and unwinding
/// would wait forever for the threads that there are.
fn start_runtime() -> io::Result<Runtime> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or_default();
        CliError::temporary(format_args!(
            "start the async runtime: {why}; raise the limit of processes (pids)"
        ))
        .print();
        exit(1);
    }));
    let runtime = Builder::new_multi_thread().enable_all().build();
    panic::set_hook(hook);
    runtime
}

/// Raises the limit of open files to its maximum. Some container runtimes start a process with a
/// limit of 1024, which is less than the webhook's own limit on connections.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, ?limit, "could not raise the limit of open files");
    }
}

fn stop_signal() -> Result<CancellationToken, CliError> {
    let listen =
        |kind| signal(kind).map_err(|error| CliError::temporary(format_args!("listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("received SIGTERM, stopping"),
            _ = interrupt.recv() => tracing::info!("received SIGINT, stopping"),
        }
        signalled.cancel();
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct TestServer {
        #[command(flatten)]
        args: ServerArgs,
    }

    fn scopes(arguments: &[&str]) -> (Scope, Scope) {
        let args = TestServer::parse_from(["server"].iter().chain(arguments)).args;
        (args.scope(), args.topic_scope())
    }

    #[test]
    fn empty_items_do_not_change_the_scopes() {
        let of = |names: &[&str]| Scope::Namespaces(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(scopes(&["--namespaces=a,"]), (of(&["a"]), of(&["a"])));
        assert_eq!(scopes(&["--namespaces=a", "--topic-namespaces=,b"]), (of(&["a"]), of(&["a", "b"])));
        assert_eq!(scopes(&["--namespaces=", "--topic-namespaces="]), (Scope::All, Scope::All));
        assert_eq!(scopes(&["--namespaces=", "--topic-namespaces=*"]), (Scope::All, Scope::All));
    }
}
