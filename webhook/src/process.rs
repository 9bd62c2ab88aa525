//! The webhook process: its parts, joined. Floor 3.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kcg_api::valid::TopicGrants;
use kcg_certs::Resolver;
use kcg_runtime::probes::{Probes, ProbesError, Readiness};
use kcg_runtime::watch::{Scope, WatchMetrics};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admit::{Admission, Request, Verdict, admit};
use crate::folder::{self, Folder};
use crate::metrics::Metrics;
use crate::server::{self, Drain, Limits};
use crate::topics::{self, TopicCache};

/// What the person who runs the process chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where reviews come in, over TLS.
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are, over plain HTTP.
    pub probes: SocketAddr,
    /// Holds tls.crt and tls.key. May come later, and change.
    pub certificate_folder: PathBuf,
    /// The DNS name that the API server asks for; a certificate for others is kept out. Left out: any is taken.
    pub server_name: Option<String>,
    /// How long reviews are still accepted after SIGTERM.
    pub quiet_period: Duration,
    /// Where KafkaTopics are watched.
    pub scope: Scope,
    /// Which namespaces' KafkaTopics a group of another namespace may name.
    pub grants: TopicGrants,
    /// What a client may cost.
    pub limits: Limits,
}

/// Why the process cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admission port is taken, or not this process's to take.
    #[error("listen on {address} for reviews: {source}; choose another address, or end what uses it")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// So is the second port.
    #[error(transparent)]
    Probes(#[from] ProbesError),
    /// No TLS of the kind that is wanted.
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The two ports, bound and not yet served: a bad address is known before anything else begins.
#[derive(Debug)]
pub struct Process {
    listener: TcpListener,
    probes: Probes,
    settings: Settings,
}

impl Process {
    /// Binds both ports.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let address = settings.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| StartError::Bind { address, source })?;
        let probes = Probes::bind(settings.probes).await?;
        Ok(Self { listener, probes, settings })
    }

    /// Where reviews are taken, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the probes are.
    pub fn probes(&self) -> SocketAddr {
        self.probes.address()
    }

    /// Serves until `stop` is cancelled (SIGTERM) and the drain is over.
    ///
    /// `registry` brings what the caller counts; the webhook's own metrics are added to it.
    pub async fn run(
        self,
        client: Client,
        mut registry: Registry,
        stop: CancellationToken,
    ) -> Result<(), StartError> {
        let Self { listener, probes, settings } = self;
        let Settings { certificate_folder, server_name, quiet_period, scope, grants, limits, .. } = settings;
        let readiness = Readiness::default();
        let metrics = Metrics::register(&mut registry);
        let resolver = Arc::new(server_name.map_or_else(Resolver::new, Resolver::for_name));
        let tls = server::tls(Arc::clone(&resolver))?;

        // The supporting parts end when the server has, not when the drain begins.
        let over = CancellationToken::new();
        let gate = readiness.check("certificate", "not looked for yet");
        let folder = Folder::new(certificate_folder, resolver, metrics.clone(), gate);
        let cache = follow_topics(client, scope, &readiness, &mut registry, &over);
        let draining = drain_after(stop, &readiness);
        tokio::spawn(
            over.clone().run_until_cancelled_owned(async move { folder.follow(folder::PERIOD).await }),
        );
        tokio::spawn(probes.serve(registry, readiness, over.clone()));

        let judge = Judge { cache, grants };
        let drain = Drain { stop: draining, quiet_period };
        let cut_off = server::serve(listener, tls, limits, judge, metrics, drain).await;
        over.cancel();
        if cut_off > 0 {
            tracing::warn!(cut_off, "connections did not end in time");
        }
        tracing::info!("drained");
        Ok(())
    }
}

/// Readiness turns false first, so that nobody who looks can see a draining process as ready.
fn drain_after(stop: CancellationToken, readiness: &Readiness) -> CancellationToken {
    let draining = CancellationToken::new();
    let (gate, begun) = (readiness.check("shutdown", ""), draining.clone());
    gate.pass();
    tokio::spawn(async move {
        stop.cancelled().await;
        gate.fail("the process is draining");
        tracing::info!("draining");
        begun.cancel();
    });
    draining
}

/// Keeps a cache of the cluster's topics from here on.
fn follow_topics(
    client: Client,
    scope: Scope,
    readiness: &Readiness,
    registry: &mut Registry,
    over: &CancellationToken,
) -> TopicCache {
    let follower = topics::watcher(client, scope);
    let pulse = follower.health();
    WatchMetrics::new([pulse.clone()]).register(registry);
    let cache = TopicCache::new(pulse);
    let gate = readiness.check("kafkatopics", "the first list is under way");
    let noting = cache.clone();
    tokio::spawn(follower.run(over.clone(), move |change| {
        noting.note(change);
        gate.set(noting.waiting_for().map_or(Ok(()), Err));
    }));
    cache
}

/// The rules with what they need to know: no client, so no review can leave a trace anywhere.
#[derive(Debug)]
struct Judge {
    cache: TopicCache,
    grants: TopicGrants,
}

impl Admission for Judge {
    fn judge(&self, request: &Request<'_>) -> Verdict {
        admit(request, &self.grants, |topic| self.cache.lookup(topic))
    }
}
