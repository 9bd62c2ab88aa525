//! A namespace with a controller of its own in this process, on an API server that all tests of
//! this target share.

use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kcg_api::valid::TopicGrants;
use kcg_devcluster::ControlPlane;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::{Candidate, Timings};
use kcg_runtime::watch::Scope;
use kcg_tests::env::{all_crds, api_server};
use kcg_tests::faults::Faults;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::condition;
use kcg_tests::{Outcome, eventually, met, metric};
use kcg_webhook::group_defaults;
use kconsumer_group_operator::controller::{self, ControllerConfig, ControllerError, Scopes};
use kube::{Client, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The limit of most waits; [`Namespace::within`] gives a longer one to what needs several retries.
pub const SOON: Duration = Duration::from_secs(20);

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// The API server of all tests of this target.
pub async fn plane() -> Outcome<&'static ControlPlane> {
    Ok(PLANE.get_or_try_init(|| api_server(all_crds())).await?)
}

/// A namespace, the controller that reconciles it, and the faults of that controller's client. What
/// the test itself does goes through a client without faults.
pub struct ControllerEnv {
    namespace: Namespace,
    pub faults: Faults,
    metrics: SocketAddr,
    probes: SocketAddr,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), ControllerError>>,
}

impl Deref for ControllerEnv {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl ControllerEnv {
    pub async fn start(name: &str) -> Outcome<Self> {
        let plane = plane().await?;
        let namespace = Namespace::create(plane, &plane.client().await?, name).await?.within(SOON);
        namespace.create_topic("fast-data-topic", 3).await?;
        Self::start_in(plane, namespace, None).await
    }

    /// The controller has a second namespace, which is returned, too.
    pub async fn start_beside(name: &str, neighbor: &str) -> Outcome<(Self, Namespace)> {
        let plane = plane().await?;
        let create = async |name: &str| -> Outcome<Namespace> {
            let namespace = Namespace::create(plane, &plane.client().await?, name).await?.within(SOON);
            namespace.create_topic("fast-data-topic", 3).await?;
            Ok(namespace)
        };
        let scope = Scope::Namespaces([name.to_owned(), neighbor.to_owned()].into());
        let (namespace, neighbor) = (create(name).await?, create(neighbor).await?);
        let election = Some(Timings::default());
        Ok((Self::start_for(plane, namespace, scope, None, "test", election).await?, neighbor))
    }

    /// Stops the controller, changes something without it, and starts another one.
    pub async fn restart(self, meanwhile: impl AsyncFnOnce(&Namespace) -> Outcome) -> Outcome<Self> {
        self.restart_with(None, meanwhile).await
    }

    /// [`Self::restart`], with a file of defaults.
    pub async fn restart_with(
        self,
        defaults: Option<PathBuf>,
        meanwhile: impl AsyncFnOnce(&Namespace) -> Outcome,
    ) -> Outcome<Self> {
        let namespace = self.namespace.clone();
        self.stop().await?;
        meanwhile(&namespace).await?;
        let plane = PLANE.get_or_try_init(|| api_server(all_crds())).await?;
        Self::start_in(plane, namespace, defaults).await
    }

    /// A second controller for the same namespace, which stands for the Lease, too.
    pub async fn start_standby(&self, defaults: PathBuf) -> Outcome<Self> {
        let scope = Scope::Namespaces([self.namespace.name.clone()].into());
        let plane = PLANE.get_or_try_init(|| api_server(all_crds())).await?;
        let election = Some(Timings::default());
        Self::start_for(plane, self.namespace.clone(), scope, Some(defaults), "standby", election).await
    }

    /// A controller of a namespace that writes without a Lease. There may be others.
    pub async fn start_without_lease(namespace: &Namespace, defaults: Option<PathBuf>) -> Outcome<Self> {
        let scope = Scope::Namespaces([namespace.name.clone()].into());
        Self::start_for(plane().await?, namespace.clone(), scope, defaults, "test", None).await
    }

    /// A controller for a namespace of this API server.
    pub async fn start_in(
        plane: &ControlPlane,
        namespace: Namespace,
        defaults: Option<PathBuf>,
    ) -> Outcome<Self> {
        let scope = Scope::Namespaces([namespace.name.clone()].into());
        Self::start_for(plane, namespace, scope, defaults, "test", Some(Timings::default())).await
    }

    async fn start_for(
        plane: &ControlPlane,
        namespace: Namespace,
        scope: Scope,
        defaults: Option<PathBuf>,
        identity: &str,
        election: Option<Timings>,
    ) -> Outcome<Self> {
        let faults = Faults::default();
        let client = faults.client(plane.kubeconfig_path()).await?;
        Self::run(namespace, (faults, client), scope, defaults, identity, election)
    }

    /// A controller that reaches its API server by this configuration.
    pub fn start_with(config: Config, namespace: Namespace) -> Outcome<Self> {
        let faults = Faults::default();
        let client = faults.client_of(config)?;
        let scope = Scope::Namespaces([namespace.name.clone()].into());
        Self::run(namespace, (faults, client), scope, None, "test", Some(Timings::default()))
    }

    fn run(
        namespace: Namespace,
        (faults, client): (Faults, Client),
        scope: Scope,
        defaults: Option<PathBuf>,
        identity: &str,
        election: Option<Timings>,
    ) -> Outcome<Self> {
        let name = &namespace.name;
        let free_address = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (metrics, probes) = (free_address()?, free_address()?);
        let settings = ControllerConfig {
            scopes: Scopes { groups: scope.clone(), topics: scope },
            grants: TopicGrants::Own,
            max_spec_bytes: kcg_api::spec_bounds::MAX_BYTES,
            defaults: Arc::new(group_defaults::file(defaults)),
            metrics_bind_address: Some(metrics.into()),
            health_probe_bind_address: Some(probes.into()),
            candidate: Candidate::new(name, "controller", identity),
            election,
            certificates: None,
        };
        let (stop, requests) = (CancellationToken::new(), RequestMetrics::default());
        let stopped = stop.clone();
        let controller =
            tokio::spawn(async move { controller::run(settings, client, &requests, stopped).await });
        Ok(Self { namespace, faults, metrics, probes, stop, controller })
    }

    /// Stops the controller, which has to end without an error.
    pub async fn stop(self) -> Outcome {
        self.stop.cancel();
        self.controller.await??;
        Ok(())
    }

    /// Waits until a condition has this reason; returns its message.
    pub async fn reason_is(&self, name: &str, type_: &str, reason: &str) -> Outcome<String> {
        let group = self.condition_is(name, type_, reason).await?;
        Ok(condition(&group, type_)[2].to_owned())
    }

    /// Waits until the controller's metrics say that it does not hold the Lease.
    pub async fn no_longer_leads(&self) -> Outcome {
        eventually("the controller to lose the Lease", SOON, async || {
            let text = self.metrics().await.unwrap_or_default();
            let leads = metric(&text, "leader", |_| true);
            Ok(met(leads == Some(0.0), || format!("leader {leads:?}")))
        })
        .await?;
        Ok(())
    }

    pub async fn metrics(&self) -> std::io::Result<String> {
        get(self.metrics, "/metrics").await
    }

    pub async fn readyz(&self) -> std::io::Result<String> {
        get(self.probes, "/readyz").await
    }
}

/// A plain GET; the ports need no more than that.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
