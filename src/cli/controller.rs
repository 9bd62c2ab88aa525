//! `controller`: the flags of the controller.

use clap::{Args, ValueEnum};
use kcg_api::names;
use kcg_certs::rotation::Lifetimes;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::Candidate;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::{Failure, duration, server};
use crate::controller::{self, ControllerConfig, ControllerError, Scopes};
use crate::keeper;

#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    server: server::Flags,
    /// What this replica is called in the Lease and in Events; left out: the host's name
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// The namespace of the Lease that replicas compete for
    #[arg(long, env = "POD_NAMESPACE", default_value = names::NAMESPACE, value_name = "NAMESPACE")]
    lease_namespace: String,
    /// The name of that Lease
    #[arg(long, default_value = names::LEASE, value_name = "NAME")]
    lease_name: String,
    #[command(flatten)]
    certificates: Certificates,
}

/// Where the webhook's certificate comes from, and how long things last that the operator issues itself.
#[derive(Debug, Args)]
#[group(skip)]
struct Certificates {
    /// Whether this operator issues the webhook's certificate, or cert-manager or a person does
    #[arg(long = "certificates", value_enum, default_value_t = Issuer::Provided, value_name = "WHO")]
    issuer: Issuer,
    /// How long a certificate that is issued here is valid; renewed at two thirds
    #[arg(long, default_value = "90d", value_parser = duration::parse, value_name = "DURATION")]
    certificate_life: Duration,
    /// How long their authority is valid; replaced at two thirds
    #[arg(long, default_value = "1825d", value_parser = duration::parse, value_name = "DURATION")]
    authority_life: Duration,
    /// How long a new authority is trusted before it signs, and the old one after it has
    #[arg(long, default_value = "5m", value_parser = duration::parse, value_name = "DURATION")]
    authority_overlap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Issuer {
    /// Its Secret and the registrations' caBundle are somebody else's, for instance cert-manager's
    Provided,
    /// The leader keeps both
    SelfManaged,
}

impl Certificates {
    /// Fails where a renewal could not be over before the next one is due.
    fn lifetimes(&self) -> Result<Lifetimes, Failure> {
        let (certificate, ca, overlap) = (self.certificate_life, self.authority_life, self.authority_overlap);
        if overlap * 6 > certificate || certificate > ca {
            return Err(Failure::lasting(
                "--authority-overlap must be at most a sixth of --certificate-life, and that not more than --authority-life",
            ));
        }
        Ok(Lifetimes { ca, certificate, overlap })
    }
}

pub fn run(flags: &Flags) -> Result<ExitCode, Failure> {
    server::run(&flags.server, |stop| serve(flags, stop))
}

async fn serve(flags: &Flags, stop: CancellationToken) -> Result<(), Failure> {
    let requests = RequestMetrics::default();
    let client = flags.server.access().client(&requests).await?;
    let identity = flags.identity.clone().unwrap_or_else(host);
    let certificates = match flags.certificates.issuer {
        Issuer::Provided => None,
        Issuer::SelfManaged => Some(keeper::Settings {
            namespace: flags.lease_namespace.clone(),
            identity: identity.clone(),
            lifetimes: flags.certificates.lifetimes()?,
        }),
    };
    let settings = ControllerConfig {
        scopes: Scopes { groups: flags.server.scope(), topics: flags.server.topic_scope() },
        grants: flags.server.grants(),
        probes: flags.server.status_addr,
        candidate: Candidate::new(&flags.lease_namespace, &flags.lease_name, &identity),
        certificates,
    };
    Ok(controller::run(settings, client, &requests, stop).await?)
}

/// The host's name, by which a person finds the process; a random part tells its namesakes apart.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "controller".to_owned() } else { name.to_owned() }
}

impl From<ControllerError> for Failure {
    fn from(error: ControllerError) -> Self {
        Self::passing(error)
    }
}
