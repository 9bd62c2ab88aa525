//! /healthz and /readyz over plain HTTP on a port and a thread of their own, so that they wait neither
//! behind the work that they report on nor behind scrapes.

mod readiness;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use tokio_util::sync::CancellationToken;

use crate::http_server::{HttpServer, ServerLimits, plain};
use crate::listen::{BindAddress, ListenError};
pub use readiness::{Readiness, ReadinessCheck};

/// The kubelet sends one probe at a time; the others are for people.
const LIMITS: ServerLimits =
    ServerLimits { connections: 64, head: Duration::from_secs(2), lifetime: Duration::from_secs(5) };

/// The port of the probes, bound but not served yet.
#[derive(Debug)]
pub struct ProbeServer(HttpServer);

impl ProbeServer {
    /// Opens the port.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(address: BindAddress) -> Result<Self, ListenError> {
        HttpServer::bind(address, "health probes", LIMITS).map(Self)
    }

    /// The bound address. If port 0 was requested, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Serves on a thread of its own until `stop` is cancelled. Cancel it last: /readyz should fail
    /// while the process drains.
    pub async fn serve(self, readiness: Readiness, stop: CancellationToken) {
        let router = Router::new()
            .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n".to_owned()) }))
            .route("/readyz", get(ready))
            .with_state(readiness);
        self.0.serve_on_own_thread(router, stop).await;
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let failing = readiness.failing();
    if failing.is_empty() {
        return plain(StatusCode::OK, "ok\n".to_owned());
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::http_server::tests::got;
    use crate::metrics::{MetricsServer, registry};

    fn served(readiness: Readiness) -> SocketAddr {
        let server = ProbeServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address();
        tokio::spawn(server.serve(readiness, CancellationToken::new()));
        address
    }

    #[tokio::test]
    async fn readyz_lists_the_failing_checks_until_none_fails() {
        let readiness = Readiness::default();
        let check = readiness.check("pods", "the first list is under way");
        let address = served(readiness);
        let waiting = got(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503 "), "{waiting}");
        assert!(waiting.ends_with("\r\n\r\npods: the first list is under way\n"), "{waiting}");
        assert!(got(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        check.pass();
        let ready = got(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nok\n"), "{ready}");
    }

    #[tokio::test]
    async fn probes_are_answered_while_every_thread_of_the_runtime_is_busy() {
        let address = served(Readiness::default());
        // Until it has answered once, its thread may not have started.
        assert!(got(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        // Blocks the one thread of this runtime.
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    #[tokio::test]
    async fn probes_are_answered_while_clients_hammer_the_metrics() {
        static SCRAPES: AtomicUsize = AtomicUsize::new(0);
        let mut registry = registry("example", "1.2.3");
        let many = Family::<[(&str, u64); 1], Counter>::default();
        for series in 0..1000 {
            many.get_or_create(&[("series", series)]).inc();
        }
        registry.register("many", "Many series", many);
        let server = MetricsServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let metrics = server.address();
        tokio::spawn(server.serve(registry, CancellationToken::new()));
        let probes = served(Readiness::default());
        let mut clients = JoinSet::new();
        for _ in 0..64 {
            clients.spawn(async move {
                loop {
                    if got(metrics, "/metrics").await.ends_with("# EOF\n") {
                        SCRAPES.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // This runtime has one thread, so a scrape and a probe never run at the same time.
        let began = Instant::now();
        while SCRAPES.load(Ordering::Relaxed) < 100 {
            assert!(began.elapsed() < Duration::from_secs(30), "scrapes make progress");
            let answer = timeout(Duration::from_secs(5), got(probes, "/healthz")).await.expect("in time");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
}
