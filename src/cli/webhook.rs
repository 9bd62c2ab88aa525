//! `webhook`: the flags of the admission server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::listen::BindAddress;
use kcg_runtime::metrics;
use kcg_webhook::admit::AdmissionPolicy;
use kcg_webhook::client_ca::ClientAuth;
use kcg_webhook::server::Limits;
use kcg_webhook::{Process, StartError, WebhookConfig};
use tokio_util::sync::CancellationToken;

use super::args::{self, RenamedWebhookFlags};
use super::{CliError, server};

#[derive(Debug, Args)]
pub(super) struct WebhookArgs {
    #[command(flatten)]
    server: server::ServerArgs,
    /// Address on which the webhook serves admission reviews over TLS
    #[arg(long, default_value = ":8443", value_name = "[ADDRESS]:PORT")]
    webhook_bind_address: BindAddress,
    /// Folder with tls.crt and tls.key; changes are picked up without a restart
    #[arg(long, default_value = "/certs", value_parser = args::path, value_name = "FOLDER")]
    cert_dir: PathBuf,
    /// DNS name by which the API server calls the webhook; certificates that are not valid for it
    /// are rejected
    /// [default: any name is accepted]
    #[arg(long, value_parser = args::subdomain, value_name = "NAME")]
    server_name: Option<String>,
    /// File with the CAs of clients in PEM; only clients with a certificate of one of them may send
    /// reviews. Changes are picked up without a restart
    /// [default: every client is accepted]
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    /// Common names of the client certificates that are accepted [default: all of --client-ca-file]
    #[arg(long, value_delimiter = ',', requires = "client_ca_file", value_name = "NAME,...")]
    client_allowed_names: Vec<String>,
    /// How long to keep accepting reviews after SIGTERM; every review restarts the period
    #[arg(long, default_value = "5s", value_parser = args::duration, value_name = "DURATION")]
    drain_quiet_period: Duration,
    #[command(flatten)]
    _renamed: RenamedWebhookFlags,
}

impl WebhookArgs {
    fn client_auth(&self) -> Option<ClientAuth> {
        let ca_file = self.client_ca_file.clone()?;
        Some(ClientAuth { ca_file, allowed_names: args::without_empty(&self.client_allowed_names) })
    }
}

pub(super) fn run(args: &WebhookArgs) -> Result<ExitCode, CliError> {
    let reviews = [("webhook-bind-address", args.webhook_bind_address)];
    server::run(&args.server, &reviews, |stop| serve(args, stop))
}

async fn serve(args: &WebhookArgs, stop: CancellationToken) -> Result<(), CliError> {
    let mut registry = metrics::registry(kcg_api::names::METRIC_PREFIX, env!("CARGO_PKG_VERSION"));
    let requests = RequestMetrics::default();
    requests.register(&mut registry);
    let client = args.server.client_config().client(&requests).await?;
    let process = Process::bind(WebhookConfig {
        bind_address: args.webhook_bind_address,
        metrics_bind_address: args.server.metrics_address(),
        health_probe_bind_address: args.server.probes_address(),
        cert_dir: args.cert_dir.clone(),
        server_name: args.server_name.clone(),
        client_auth: args.client_auth(),
        quiet_period: args.drain_quiet_period,
        scope: args.server.topic_scope(),
        policy: AdmissionPolicy { grants: args.server.grants(), max_spec_bytes: args.server.max_spec_bytes },
        defaults: args.server.defaults(),
        limits: Limits::default(),
    })?;
    Ok(process.run(client, registry, stop).await?)
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Tls(_) => Self::permanent(error),
            StartError::Listen(_) => Self::temporary(error),
        }
    }
}
