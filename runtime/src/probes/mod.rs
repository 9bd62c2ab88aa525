//! The second port: /healthz, /readyz and /metrics over plain HTTP, on a listener of its own, so that neither
//! waits behind the work it reports on. Floor 2 (I/O shell).

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

/// How long a connection may live, from its acceptance to the last byte of the one answer it gets. Since none
/// is kept open, nobody can hold the places of others for longer than this.
const LIFETIME: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of its request.
const HEAD: Duration = Duration::from_secs(5);
/// Connections served at the same time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// The pause after a failure to accept, which is mostly a lack of file descriptors that passes.
const BREATH: Duration = Duration::from_millis(100);

/// OpenMetrics, as prometheus-client writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The prefix of every metric of ours.
pub const METRIC_PREFIX: &str = "kconsumer_group_operator";

/// A registry whose metrics all get [`METRIC_PREFIX`]. It holds the version that runs, of which every process tells,
/// and nothing else yet.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix(METRIC_PREFIX);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", version);
    registry
}

#[derive(Debug, Error)]
pub enum ProbesError {
    #[error(
        "listen on {address} for health and metrics: {source}; choose another address, or end what uses it"
    )]
    Bind { address: SocketAddr, source: io::Error },
}

/// The port, bound and not yet served: a bad address is known before anything else starts.
#[derive(Debug)]
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
}

impl Probes {
    pub async fn bind(address: SocketAddr) -> Result<Self, ProbesError> {
        let failed = |source| ProbesError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address in force, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled; keep it up while the process drains, so that its state can be seen.
    pub async fn serve(self, registry: Registry, readiness: Readiness, stop: CancellationToken) {
        let router = router(Arc::new(registry), readiness);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            loop {
                let place = places.clone().acquire_owned().await;
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let router = router.clone();
                        tokio::spawn(async move {
                            answer(stream, router).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept on the health and metrics port");
                        sleep(BREATH).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accepting).await;
    }
}

/// One request, one answer, and the connection is closed.
async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(LIFETIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the health and metrics port broke off"),
        Err(_) => tracing::debug!("a client of the health and metrics port was too slow"),
    }
}

#[derive(Clone)]
struct Shown {
    registry: Arc<Registry>,
    readiness: Readiness,
}

fn router(registry: Arc<Registry>, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shown { registry, readiness })
}

async fn ready(State(shown): State<Shown>) -> Response {
    let waiting = shown.readiness.failing();
    if waiting.is_empty() {
        return plain(StatusCode::OK, "ok\n".to_owned());
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n")
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("write the metrics: {error}\n")),
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
    async fn readiness_lists_what_it_waits_for_until_there_is_nothing() {
        let readiness = Readiness::default();
        let check = readiness.check("kafkatopics", "the first list is under way");
        let address = served(Registry::default(), readiness).await;
        let waiting = got(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503 "), "{waiting}");
        assert!(waiting.ends_with("\r\n\r\nkafkatopics: the first list is under way\n"), "{waiting}");
        assert!(got(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        check.pass();
        let ready = got(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nok\n"), "{ready}");
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_under_our_prefix() {
        let mut registry = registry();
        let counter: Counter = Counter::default();
        registry.register("things", "Things", counter.clone());
        counter.inc();
        let text = got(served(registry, Readiness::default()).await, "/metrics").await;
        assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"), "{text}");
        assert!(text.contains("kconsumer_group_operator_things_total 1\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn every_process_tells_its_version() {
        let text = got(served(registry(), Readiness::default()).await, "/metrics").await;
        let told =
            format!("kconsumer_group_operator_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&told), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_head_is_sent_away() {
        let address = served(Registry::default(), Readiness::default()).await;
        let answer = timeout(2 * LIFETIME, exchange(address, "GET /healthz HTTP/1.1\r\nslow: ")).await;
        assert!(!answer.expect("closed").contains("200"));
    }

    #[tokio::test]
    async fn an_address_in_use_is_said_with_its_cure() {
        let first = Probes::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let said = Probes::bind(first.address()).await.unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("listen on {} for health and metrics: ", first.address())),
            "{said}"
        );
        assert!(said.ends_with("choose another address, or end what uses it"), "{said}");
    }
}
