//! /healthz, /readyz and /metrics over plain HTTP on a separate port, so that they never wait
//! behind the work that they report on.

mod readiness;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};
pub use readiness::{Readiness, ReadinessCheck};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The lifetime of a connection, from its acceptance to the last byte of its one response.
/// Connections are not kept alive, so no client holds a connection slot for longer.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(10);
/// How long a client may take to send its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections served at the same time. Further ones wait in the kernel's accept queue.
const MAX_CONNECTIONS: usize = 64;
/// The pause after a failed accept. The usual cause, a lack of file descriptors, passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// OpenMetrics, as prometheus-client writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// A registry whose metrics all start with `prefix`. It holds `<prefix>_build_info{version}` so
/// far.
pub fn registry(prefix: &str, version: &str) -> Registry {
    let mut registry = Registry::with_prefix(prefix);
    let info = Info::new([("version", version.to_owned())]);
    registry.register("build", "The version of the running process", info);
    registry
}

/// Why the port could not be opened.
#[derive(Debug, Error)]
pub enum ProbesError {
    /// The address is in use, or not an address of this machine.
    #[error(
        "listen on {address} for health and metrics: {source}; choose another address, or end what uses it"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// The port, bound but not served yet, so that a bad address is known before anything else starts.
#[derive(Debug)]
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
}

impl Probes {
    /// Opens the port.
    pub async fn bind(address: SocketAddr) -> Result<Self, ProbesError> {
        let failed = |source| ProbesError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The bound address. If port 0 was requested, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled. Cancel it last: /readyz should fail while the process
    /// drains.
    pub async fn serve(self, registry: Registry, readiness: Readiness, stop: CancellationToken) {
        let router = router(Arc::new(registry), readiness);
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = async {
            loop {
                let slot = slots.clone().acquire_owned().await;
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let router = router.clone();
                        tokio::spawn(async move {
                            answer(stream, router).await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept on the health and metrics port");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accepting).await;
    }
}

/// Answers one request, then closes the connection.
async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_LIFETIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the health and metrics port broke"),
        Err(_) => tracing::debug!("a connection to the health and metrics port timed out"),
    }
}

#[derive(Clone)]
struct ProbesState {
    registry: Arc<Registry>,
    readiness: Readiness,
}

fn router(registry: Arc<Registry>, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(ProbesState { registry, readiness })
}

async fn ready(State(state): State<ProbesState>) -> Response {
    let failing = state.readiness.failing();
    if failing.is_empty() {
        return plain(StatusCode::OK, "ok\n".to_owned());
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n")
}

async fn metrics(State(state): State<ProbesState>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &state.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("encode the metrics: {error}\n")),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, PLAIN)], text).into_response()
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn served(registry: Registry, readiness: Readiness) -> SocketAddr {
        let probes = Probes::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = probes.address();
        tokio::spawn(probes.serve(registry, readiness, CancellationToken::new()));
        address
    }

    async fn exchange(address: SocketAddr, sent: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn got(address: SocketAddr, path: &str) -> String {
        exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: probes\r\n\r\n")).await
    }

    #[tokio::test]
    async fn readyz_lists_the_failing_checks_until_none_fails() {
        let readiness = Readiness::default();
        let check = readiness.check("pods", "the first list is under way");
        let address = served(Registry::default(), readiness).await;
        let waiting = got(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503 "), "{waiting}");
        assert!(waiting.ends_with("\r\n\r\npods: the first list is under way\n"), "{waiting}");
        assert!(got(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        check.pass();
        let ready = got(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nok\n"), "{ready}");
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_with_the_given_prefix() {
        let mut registry = registry("example", "1.2.3");
        let counter: Counter = Counter::default();
        registry.register("things", "Things", counter.clone());
        counter.inc();
        let text = got(served(registry, Readiness::default()).await, "/metrics").await;
        assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"), "{text}");
        assert!(text.contains("example_things_total 1\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn the_version_is_a_metric() {
        let text = got(served(registry("example", "1.2.3"), Readiness::default()).await, "/metrics").await;
        assert!(text.contains("example_build_info{version=\"1.2.3\"} 1\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_completes_its_request_head_is_disconnected() {
        let address = served(Registry::default(), Readiness::default()).await;
        let answer =
            timeout(2 * CONNECTION_LIFETIME, exchange(address, "GET /healthz HTTP/1.1\r\nslow: ")).await;
        assert!(!answer.expect("closed").contains("200"));
    }

    #[tokio::test]
    async fn an_address_in_use_is_reported_with_a_cure() {
        let first = Probes::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = Probes::bind(first.address()).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("listen on {} for health and metrics: ", first.address())),
            "{error}"
        );
        assert!(error.ends_with("choose another address, or end what uses it"), "{error}");
    }
}
