//! The admission port: TLS, HTTP/1.1, and an end that loses no review. Floor 3.
//!
//! An accept loop of our own, since no stock server both reaps slow clients and keeps idle connections longer than
//! the API server's client does. Nothing in here knows what a review is about.

mod connection;
mod exchange;
mod gate;
mod limits;
mod patience;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kcg_certs::Resolver;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::limits::Limits;

use self::connection::{Fault, House};
use self::exchange::Exchange;
use self::gate::Gate;
use crate::admit::Admission;
use crate::metrics::Metrics;
use crate::throttle::{Throttle, harmless};

/// How the server ends. Readiness is the caller's: it turns false the moment `stop` is cancelled.
#[derive(Clone, Debug)]
pub struct Drain {
    /// SIGTERM, in a process.
    pub stop: CancellationToken,
    /// How long connections are still accepted after `stop`, each answer asking its client to leave: the time that
    /// a cluster takes to stop sending reviews here.
    pub quiet_period: Duration,
}

/// TLS 1.2 and 1.3 with whatever pair the resolver holds, HTTP/1.1 the one protocol offered.
pub fn tls(resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // HTTP/2 is not offered: the API server calls webhooks over HTTP/1.1, and a protocol that is not spoken cannot
    // be abused.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves reviews until `drain.stop` is cancelled, the quiet period is over and the last request is answered.
/// Returns how many connections were cut off because they would not end.
pub async fn serve<A: Admission>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    admission: A,
    metrics: Metrics,
    drain: Drain,
) -> usize {
    let limits = Arc::new(limits);
    let port = Port {
        gate: Gate::new(limits.connections),
        house: Arc::new(House {
            tls: TlsAcceptor::from(tls),
            exchange: Arc::new(Exchange::new(admission, Arc::clone(&limits), metrics.clone())),
            quiet: drain.stop.clone(),
            closing: CancellationToken::new(),
        }),
        tasks: TaskTracker::new(),
        faults: Arc::new(Throttle::new(5, Duration::from_secs(10))),
        metrics,
    };
    port.accept_until(listener, drain).await;
    port.finish(&limits).await
}

/// The port while it is open.
struct Port<A> {
    gate: Arc<Gate>,
    house: Arc<House<A>>,
    tasks: TaskTracker,
    faults: Arc<Throttle>,
    metrics: Metrics,
}

impl<A: Admission> Port<A> {
    /// Accepts until the quiet period is over, then closes the listener.
    async fn accept_until(&self, listener: TcpListener, drain: Drain) {
        let over = async {
            drain.stop.cancelled().await;
            sleep(drain.quiet_period).await;
        };
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => self.welcome(stream, peer),
                    Err(error) => {
                        if let Some(suppressed) = self.faults.pass() {
                            tracing::error!(%error, suppressed, "cannot accept connections");
                        }
                        // Out of file descriptors, as a rule; asking again at once would only spin.
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = over => {}
            () = accepting => {}
        }
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = self.gate.enter() else {
            self.metrics.turned_away("full");
            return;
        };
        let (house, gate) = (Arc::clone(&self.house), Arc::clone(&self.gate));
        let (metrics, faults) = (self.metrics.clone(), Arc::clone(&self.faults));
        metrics.connections(self.gate.open());
        self.tasks.spawn(async move {
            if let Err(fault) = house.serve(stream, place).await {
                metrics.turned_away(fault.label());
                report(&fault, peer, &faults);
            }
            metrics.connections(gate.open());
        });
    }

    /// Lets the requests under way come to their end, and cuts off what has none.
    async fn finish(&self, limits: &Limits) -> usize {
        self.house.closing.cancel();
        self.tasks.close();
        let patience = limits.handshake.max(limits.head) + limits.request + limits.write + limits.linger;
        match timeout(patience, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.gate.open(),
        }
    }
}

/// One line for what somebody may want to look into; a client that is merely slow or gone is only counted.
fn report(fault: &Fault, peer: SocketAddr, faults: &Throttle) {
    if matches!(fault, Fault::Handshake(_) | Fault::Http(_))
        && let Some(suppressed) = faults.pass()
    {
        tracing::warn!(%peer, suppressed, reason = %harmless(&fault.to_string(), 200), "connection refused");
    }
}
