//! The admission port: TLS, HTTP/1.1, limits, and a shutdown that loses no review.
//!
//! The accept loop is our own: no ready-made server both closes slow connections and keeps idle
//! ones longer than the API server's client does. Nothing in this module knows what a review is
//! about.

mod conn_limiter;
mod connection;
mod deadlines;
mod fair_semaphore;
mod handler;
mod handler_error;
mod limits;
mod refusal_limit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kcg_certs::Resolver;
use kcg_certs::client_verifier::ClientVerifier;
use kcg_core::text::one_line;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::limits::Limits;

use self::conn_limiter::ConnLimiter;
use self::connection::{ConnContext, ConnectionError};
use self::handler::RequestHandler;
use crate::admit::Admission;
use crate::log_limit::LogLimit;
use crate::metrics::WebhookMetrics;

/// How the server shuts down. The caller makes the process unready before it cancels `stop`.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Cancelled to begin the shutdown, for example on SIGTERM.
    pub stop: CancellationToken,
    /// How long the server still accepts connections after `stop`, while each response asks its
    /// client to close the connection: the time that a cluster needs to stop sending reviews here.
    pub quiet_period: Duration,
}

/// The TLS configuration: TLS 1.2 and 1.3 with the resolver's current pair; ALPN offers only
/// HTTP/1.1. With a verifier, only clients whose certificate it accepts get through the handshake.
pub fn tls(
    resolver: Arc<Resolver>,
    clients: Option<Arc<ClientVerifier>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    // The API server calls webhooks over HTTP/1.1. A protocol that is not offered cannot be abused.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves reviews until `drain.stop` is cancelled, the quiet period is over and the last request
/// has its response.
///
/// Returns how many connections were cut off because they did not end in time.
pub async fn serve<A: Admission>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    admission: A,
    metrics: WebhookMetrics,
    drain: Drain,
) -> usize {
    let limits = Arc::new(limits);
    let server = AdmissionServer {
        limiter: ConnLimiter::new(limits.connections, limits.connections_per_client),
        context: Arc::new(ConnContext {
            tls: TlsAcceptor::from(tls),
            handler: Arc::new(RequestHandler::new(admission, Arc::clone(&limits), metrics.clone())),
            draining: drain.stop.clone(),
            closing: CancellationToken::new(),
        }),
        tasks: TaskTracker::new(),
        error_log: Arc::new(LogLimit::new(5, Duration::from_secs(10))),
        metrics,
    };
    server.accept_until_drained(listener, drain).await;
    server.finish(&limits).await
}

struct AdmissionServer<A> {
    limiter: Arc<ConnLimiter>,
    context: Arc<ConnContext<A>>,
    tasks: TaskTracker,
    error_log: Arc<LogLimit>,
    metrics: WebhookMetrics,
}

impl<A: Admission> AdmissionServer<A> {
    /// Accepts connections until the quiet period is over, then closes the listener.
    async fn accept_until_drained(&self, listener: TcpListener, drain: Drain) {
        let drained = async {
            drain.stop.cancelled().await;
            sleep(drain.quiet_period).await;
        };
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        self.spawn(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                    }
                    Err(error) => {
                        if let Some(suppressed) = self.error_log.pass() {
                            tracing::error!(%error, suppressed, "cannot accept connections");
                        }
                        // Usually no file descriptor is left; an immediate retry would only spin.
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = drained => {}
            () = accepting => {}
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(slot) = self.limiter.acquire(peer.ip().into()) else {
            self.metrics.count_connection_error("full");
            return;
        };
        let (context, limiter) = (Arc::clone(&self.context), Arc::clone(&self.limiter));
        let (metrics, error_log) = (self.metrics.clone(), Arc::clone(&self.error_log));
        metrics.set_connections(self.limiter.open());
        self.tasks.spawn(async move {
            if let Err(error) = context.serve(stream, slot).await {
                metrics.count_connection_error(error.label());
                log_error(&error, peer, &error_log);
            }
            metrics.set_connections(limiter.open());
        });
    }

    /// Waits until the requests in flight have their responses, and cuts off connections that do
    /// not end.
    async fn finish(&self, limits: &Limits) -> usize {
        self.context.closing.cancel();
        self.tasks.close();
        let longest = limits.handshake.max(limits.head) + limits.request + limits.write + limits.linger;
        match timeout(longest, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.limiter.open(),
        }
    }
}

/// Logs the errors that an operator may want to look into; slow and lost clients are only counted.
fn log_error(error: &ConnectionError, peer: SocketAddr, limit: &LogLimit) {
    if matches!(error, ConnectionError::Handshake(_) | ConnectionError::Http(_))
        && let Some(suppressed) = limit.pass()
    {
        tracing::warn!(%peer, suppressed, reason = %one_line(&error.to_string(), 200), "connection failed");
    }
}
