//! `controller`: the flags of the controller.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use kcg_api::names;
use kcg_certs::rotation::Lifetimes;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::{Candidate, Timings};
use tokio_util::sync::CancellationToken;

use super::args::{self, RenamedControllerFlags};
use super::{CliError, server};
use crate::cert_rotator::CertRotatorConfig;
use crate::controller::{self, ControllerConfig, ControllerError, Scopes};

#[derive(Debug, Args)]
pub(super) struct ControllerArgs {
    #[command(flatten)]
    server: server::ServerArgs,
    /// Name of this replica in the Lease and in Events [default: the host name]
    #[arg(long, env = "POD_NAME", value_parser = args::identity, value_name = "NAME")]
    identity: Option<String>,
    /// Namespace of this pod, in which a self-managed certificate is stored
    /// [default: that of the pod's ServiceAccount, or else kconsumer-group-operator]
    #[arg(long, env = "POD_NAMESPACE", value_parser = args::namespace, value_name = "NAMESPACE")]
    pod_namespace: Option<String>,
    #[command(flatten)]
    election: LeaderElectArgs,
    /// Name of both webhook configurations, whose CA bundle a self-managed certificate needs
    /// [default: the namespace of this pod]
    #[arg(long, env = "WEBHOOK_CONFIGURATION_NAME", value_parser = args::subdomain, value_name = "NAME")]
    webhook_configuration_name: Option<String>,
    #[command(flatten)]
    certificates: CertificateArgs,
    #[command(flatten)]
    _renamed: RenamedControllerFlags,
}

#[derive(Debug, Args)]
// The flags of client-go's users.
#[allow(clippy::struct_field_names)]
struct LeaderElectArgs {
    /// Elect a leader, so that of several replicas only one writes. Set false only for a single
    /// replica that is stopped before another one starts
    #[arg(
        long,
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    leader_elect: bool,
    /// How long other replicas wait before they take over from a leader that no longer renews; whole
    /// seconds
    #[arg(long, default_value = "10s", value_parser = args::duration, value_name = "DURATION")]
    leader_elect_lease_duration: Duration,
    /// How long after its last renewal a leader stops; less than the lease duration
    #[arg(long, default_value = "7s", value_parser = args::duration, value_name = "DURATION")]
    leader_elect_renew_deadline: Duration,
    /// How long to wait between attempts to acquire or to renew; at most a third of the renew
    /// deadline
    #[arg(long, default_value = "1s", value_parser = args::duration, value_name = "DURATION")]
    leader_elect_retry_period: Duration,
    /// Namespace of the Lease [default: the namespace of this pod]
    #[arg(long, value_parser = args::namespace, value_name = "NAMESPACE")]
    leader_elect_resource_namespace: Option<String>,
    /// Name of the Lease
    #[arg(long, default_value = names::LEASE, value_parser = args::subdomain, value_name = "NAME")]
    leader_elect_resource_name: String,
}

impl LeaderElectArgs {
    fn timings(&self) -> Option<Timings> {
        self.leader_elect.then_some(Timings {
            lease: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry: self.leader_elect_retry_period,
        })
    }
}

#[derive(Debug, Args)]
struct CertificateArgs {
    /// Who issues the webhook certificate
    #[arg(long, value_enum, default_value_t = CertificateMode::Provided, value_name = "MODE")]
    certificate_mode: CertificateMode,
    /// How long a self-managed certificate is valid; it is renewed after two thirds of that time
    #[arg(long, default_value = "30d", value_parser = args::duration, value_name = "DURATION")]
    certificate_duration: Duration,
    /// How long the CA of self-managed certificates is valid; it is replaced after two thirds of
    /// that time
    #[arg(long, default_value = "1825d", value_parser = args::duration, value_name = "DURATION")]
    ca_duration: Duration,
    /// How long a new CA is trusted before it signs, and an old CA after it has stopped signing
    #[arg(long, default_value = "5m", value_parser = args::duration, value_name = "DURATION")]
    ca_overlap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CertificateMode {
    /// You, or a component such as cert-manager: the operator reads the Secret and never writes it
    Provided,
    /// The operator: its leader writes the Secret and the CA bundle of the webhook configurations
    SelfManaged,
}

impl CertificateArgs {
    /// Fails if a rotation might not be finished before the next one is due.
    fn lifetimes(&self) -> Result<Lifetimes, CliError> {
        let (certificate, ca, overlap) = (self.certificate_duration, self.ca_duration, self.ca_overlap);
        if certificate.is_zero() {
            return Err(CliError::permanent(
                "--certificate-duration must be longer than 0s, for example 90d",
            ));
        }
        if overlap * 6 > certificate || certificate > ca {
            return Err(CliError::permanent(
                "--ca-overlap must be at most a sixth of --certificate-duration, and --certificate-duration must not be longer than --ca-duration",
            ));
        }
        Ok(Lifetimes { ca, certificate, overlap })
    }
}

pub(super) fn run(args: &ControllerArgs) -> Result<ExitCode, CliError> {
    server::run(&args.server, &[], |stop| serve(args, stop))
}

async fn serve(args: &ControllerArgs, stop: CancellationToken) -> Result<(), CliError> {
    let lifetimes = args.certificates.lifetimes()?;
    let requests = RequestMetrics::default();
    let client = args.server.client_config().client(&requests).await?;
    let identity = args.identity.clone().unwrap_or_else(host_name);
    let namespace = args
        .pod_namespace
        .clone()
        .unwrap_or_else(|| own_namespace(std::fs::read_to_string(SERVICE_ACCOUNT_NAMESPACE).ok().as_deref()));
    let lease_namespace = args.election.leader_elect_resource_namespace.as_ref().unwrap_or(&namespace);
    let candidate = Candidate::new(lease_namespace, &args.election.leader_elect_resource_name, &identity);
    let certificates = match args.certificates.certificate_mode {
        CertificateMode::Provided => None,
        CertificateMode::SelfManaged => Some(CertRotatorConfig {
            webhook_configuration: args
                .webhook_configuration_name
                .clone()
                .unwrap_or_else(|| namespace.clone()),
            namespace,
            identity: identity.clone(),
            lifetimes,
        }),
    };
    let config = ControllerConfig {
        scopes: Scopes { groups: args.server.scope(), topics: args.server.topic_scope() },
        grants: args.server.grants(),
        max_spec_bytes: args.server.max_spec_bytes,
        defaults: args.server.defaults(),
        metrics_bind_address: args.server.metrics_address(),
        health_probe_bind_address: args.server.probes_address(),
        candidate,
        election: args.election.timings(),
        certificates,
    };
    Ok(controller::run(config, client, &requests, stop).await?)
}

/// Where a pod finds the namespace of its ServiceAccount.
const SERVICE_ACCOUNT_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace of a pod from the file of its ServiceAccount, or the shipped one outside of a pod.
fn own_namespace(file: Option<&str>) -> String {
    let read = file.and_then(|text| args::namespace(text.trim()).ok());
    read.unwrap_or_else(|| names::NAMESPACE.to_owned())
}

/// The host name. The Lease's candidate adds a random part, so that equal host names do not
/// collide.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "controller".to_owned() } else { name.to_owned() }
}

impl From<ControllerError> for CliError {
    fn from(error: ControllerError) -> Self {
        match error {
            ControllerError::Timings(_) => Self::permanent(format_args!(
                "--leader-elect-lease-duration, --leader-elect-renew-deadline and --leader-elect-retry-period: {error}"
            )),
            ControllerError::Listen(_) | ControllerError::Ended(_) => Self::temporary(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_of_the_service_account_is_that_of_the_pod() {
        assert_eq!(own_namespace(Some("ops\n")), "ops");
        for file in [None, Some(""), Some("../x")] {
            assert_eq!(own_namespace(file), names::NAMESPACE, "{file:?}");
        }
    }
}
