//! The webhook process: its parts, joined.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kcg_certs::Resolver;
use kcg_certs::client_verifier::ClientVerifier;
use kcg_runtime::config_file;
use kcg_runtime::listen::{BindAddress, ListenError, listen};
use kcg_runtime::metrics::MetricsServer;
use kcg_runtime::probes::{ProbeServer, Readiness};
use kcg_runtime::watch::{Scope, WatchMetrics};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admit::{self, Admission, AdmissionPolicy, AdmissionRequest, Verdict};
use crate::cert_watcher::{self, CertWatcher};
use crate::client_ca::{self, ClientAuth};
use crate::group_defaults::{self, DefaultsFile};
use crate::metrics::WebhookMetrics;
use crate::server::{self, Drain, Limits};
use crate::topics::{self, TopicCache};

/// The configuration of the process.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The address that serves admission reviews over TLS.
    pub bind_address: BindAddress,
    /// The address that serves /metrics over plain HTTP; `None`: it is not served.
    pub metrics_bind_address: Option<BindAddress>,
    /// The address that serves /healthz and /readyz over plain HTTP; `None`: they are not served.
    pub health_probe_bind_address: Option<BindAddress>,
    /// The directory of tls.crt and tls.key. The files may appear later, and change.
    pub cert_dir: PathBuf,
    /// The DNS name by which the API server calls the webhook. A certificate for other names is
    /// rejected. `None` accepts any certificate.
    pub server_name: Option<String>,
    /// Who may send reviews; `None` accepts every client.
    pub client_auth: Option<ClientAuth>,
    /// How long the webhook still accepts reviews after SIGTERM.
    pub quiet_period: Duration,
    /// The namespaces whose KafkaTopics the webhook watches.
    pub scope: Scope,
    /// What the flags set for the rules.
    pub policy: AdmissionPolicy,
    /// The file with the defaults of the installation.
    pub defaults: Arc<DefaultsFile>,
    /// The bounds on what a client may cost.
    pub limits: Limits,
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is in use, or the process is not permitted to bind it.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// rustls rejects the TLS configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A webhook whose ports are bound and not served yet: a wrong address fails before anything
/// else starts.
#[derive(Debug)]
pub struct Process {
    listener: TcpListener,
    metrics: Option<MetricsServer>,
    probes: Option<ProbeServer>,
    config: WebhookConfig,
}

impl Process {
    /// Binds the ports.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(config: WebhookConfig) -> Result<Self, StartError> {
        let listener = listen(config.bind_address, "admission reviews")?;
        let metrics = config.metrics_bind_address.map(MetricsServer::bind).transpose()?;
        let probes = config.health_probe_bind_address.map(ProbeServer::bind).transpose()?;
        Ok(Self { listener, metrics, probes, config })
    }

    /// The bound address for reviews. If port 0 was configured, it has the port that the system
    /// chose.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled (SIGTERM) and the shutdown is complete.
    ///
    /// `registry` contains the caller's metrics; the webhook adds its own.
    pub async fn run(
        self,
        client: Client,
        mut registry: Registry,
        stop: CancellationToken,
    ) -> Result<(), StartError> {
        let Self { listener, metrics: metrics_server, probes, config } = self;
        let WebhookConfig {
            cert_dir,
            server_name,
            client_auth,
            quiet_period,
            scope,
            policy,
            defaults,
            limits,
            ..
        } = config;
        let readiness = Readiness::default();
        let metrics = WebhookMetrics::register(&mut registry);
        let resolver = Arc::new(server_name.map_or_else(Resolver::new, Resolver::for_name));
        let served = CancellationToken::new();
        let clients = client_auth.map(|auth| verify_clients(auth, &readiness, &served));
        let tls = server::tls(Arc::clone(&resolver), clients)?;

        defaults.register(&mut registry, group_defaults::METRIC);
        // A file that is rejected is no reason not to start; the watch below logs it.
        drop(defaults.reload().await);
        let followed = Arc::clone(&defaults);

        // The other tasks end with `served`, after the server, not when the shutdown begins.
        let certificate_check = readiness.check("certificate", "not read yet");
        let cert_watcher = CertWatcher::new(cert_dir, resolver, metrics.clone(), certificate_check);
        let topics = watch_topics(client, scope, &readiness, &mut registry, &served);
        let stop = unready_before(stop, &readiness);
        tokio::spawn(served.clone().run_until_cancelled_owned(async move {
            cert_watcher.run(cert_watcher::POLL_INTERVAL).await;
        }));
        tokio::spawn(served.clone().run_until_cancelled_owned(async move {
            followed.watch(config_file::POLL_INTERVAL, || {}).await;
        }));
        metrics_server.map(|server| tokio::spawn(server.serve(registry, served.clone())));
        probes.map(|server| tokio::spawn(server.serve(readiness, served.clone())));

        let admission = GroupAdmission { topics, policy, defaults };
        let drain = Drain { stop, quiet_period };
        let cut_off = server::serve(listener, tls, limits, admission, metrics, drain).await;
        served.cancel();
        if cut_off > 0 {
            tracing::warn!(cut_off, "connections did not end in time");
        }
        tracing::info!("shutdown complete");
        Ok(())
    }
}

/// Makes the process unready when `stop` is cancelled, and cancels the returned token only then: no
/// probe sees a process as ready that is shutting down.
fn unready_before(stop: CancellationToken, readiness: &Readiness) -> CancellationToken {
    let unready = CancellationToken::new();
    let (check, unready_now) = (readiness.check("shutdown", ""), unready.clone());
    check.pass();
    tokio::spawn(async move {
        stop.cancelled().await;
        check.fail("the process is shutting down");
        tracing::info!("shutting down");
        unready_now.cancel();
    });
    unready
}

/// Starts to follow the file of the clients' CAs.
fn verify_clients(
    auth: ClientAuth,
    readiness: &Readiness,
    served: &CancellationToken,
) -> Arc<ClientVerifier> {
    let verifier = Arc::new(ClientVerifier::new(auth.allowed_names));
    let check = readiness.check("client-ca", "not read yet: no client is accepted; see the log");
    let watch = client_ca::watch(auth.ca_file, Arc::clone(&verifier), check);
    tokio::spawn(served.clone().run_until_cancelled_owned(watch));
    verifier
}

/// Starts the watch of KafkaTopics that fills the returned cache.
fn watch_topics(
    client: Client,
    scope: Scope,
    readiness: &Readiness,
    registry: &mut Registry,
    served: &CancellationToken,
) -> TopicCache {
    let watcher = topics::watcher(client, scope);
    let health = watcher.health();
    WatchMetrics::new([health.clone()]).register(registry);
    let cache = TopicCache::new(health);
    let check = readiness.check("kafkatopics", "the first list is under way");
    let filled = cache.clone();
    tokio::spawn(watcher.run(served.clone(), move |event| {
        filled.note(event);
        check.set(filled.waiting_for().map_or(Ok(()), Err));
    }));
    cache
}

/// Decides reviews by the rules and the cached topics. It has no client, so a review cannot make a
/// request.
#[derive(Debug)]
struct GroupAdmission {
    topics: TopicCache,
    policy: AdmissionPolicy,
    defaults: Arc<DefaultsFile>,
}

impl Admission for GroupAdmission {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        let in_force = self.defaults.in_force();
        let warning = group_defaults::warning(&in_force);
        let verdict =
            admit::admit(request, &self.policy, &in_force.settings, |topic| self.topics.lookup(topic));
        warning.into_iter().fold(verdict, Verdict::with_warning)
    }

    fn is_quick(&self, body: &[u8]) -> bool {
        admit::is_quick(body)
    }
}
