//! `webhook`: the flags of the admission server.

use clap::Args;
use kcg_runtime::{client::RequestMetrics, probes};
use kcg_webhook::server::Limits;
use kcg_webhook::{Process, StartError, WebhookConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::{Failure, duration, server};

#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    server: server::Flags,
    /// Where admission reviews come in, over TLS
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The folder of tls.crt and tls.key, which may come later and change
    #[arg(long, default_value = "/certs", value_name = "FOLDER")]
    cert_dir: PathBuf,
    /// The DNS name that the API server asks for; a certificate for other names is kept out. Left out: any is taken
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// How long reviews are still taken after SIGTERM, until nobody sends any more
    #[arg(long, default_value = "5s", value_parser = duration::parse, value_name = "DURATION")]
    drain_quiet_period: Duration,
}

pub fn run(flags: &Flags) -> Result<ExitCode, Failure> {
    server::run(&flags.server, |stop| serve(flags, stop))
}

async fn serve(flags: &Flags, stop: CancellationToken) -> Result<(), Failure> {
    let mut registry = probes::registry(kcg_api::names::METRIC_PREFIX, env!("CARGO_PKG_VERSION"));
    let requests = RequestMetrics::default();
    requests.register(&mut registry);
    let client = flags.server.access().client(&requests).await?;
    let process = Process::bind(WebhookConfig {
        bind_address: flags.listen,
        probes: flags.server.status_addr,
        cert_dir: flags.cert_dir.clone(),
        server_name: flags.server_name.clone(),
        quiet_period: flags.drain_quiet_period,
        scope: flags.server.topic_scope(),
        grants: flags.server.grants(),
        limits: Limits::default(),
    })
    .await?;
    Ok(process.run(client, registry, stop).await?)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Tls(_) => Self::lasting(error),
            StartError::Bind { .. } | StartError::Probes(_) => Self::passing(error),
        }
    }
}
