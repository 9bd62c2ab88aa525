//! /metrics over plain HTTP on a port of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::http_server::{HttpServer, ServerLimits, plain};
use crate::listen::{BindAddress, ListenError};

/// A few Prometheus servers at a time. The lifetime is Prometheus' default scrape timeout.
const LIMITS: ServerLimits =
    ServerLimits { connections: 16, head: Duration::from_secs(5), lifetime: Duration::from_secs(10) };

/// OpenMetrics, as prometheus-client writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry whose metrics all start with `prefix`. It holds `<prefix>_build_info{version}` so
/// far.
pub fn registry(prefix: &str, version: &str) -> Registry {
    let mut registry = Registry::with_prefix(prefix);
    let info = Info::new([("version", version.to_owned())]);
    registry.register("build", "The version of the running process", info);
    registry
}

/// The metrics port, bound but not served yet.
#[derive(Debug)]
pub struct MetricsServer(HttpServer);

impl MetricsServer {
    /// Opens the port.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(address: BindAddress) -> Result<Self, ListenError> {
        HttpServer::bind(address, "metrics", LIMITS).map(Self)
    }

    /// The bound address. If port 0 was requested, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Serves until `stop` is cancelled.
    pub async fn serve(self, registry: Registry, stop: CancellationToken) {
        let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(Mutex::new(registry)));
        self.0.serve(router, stop).await;
    }
}

/// Encodes one text at a time: scrapes cost at most one thread, however many clients there are.
async fn metrics(State(registry): State<Arc<Mutex<Registry>>>) -> Response {
    let mut text = String::new();
    let encoded = encode(&mut text, &*registry.lock().await);
    match encoded {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("encode the metrics: {error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::http_server::tests::got;

    fn served(registry: Registry) -> SocketAddr {
        let server = MetricsServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address();
        tokio::spawn(server.serve(registry, CancellationToken::new()));
        address
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_with_the_given_prefix() {
        let mut registry = registry("example", "1.2.3");
        let counter: Counter = Counter::default();
        registry.register("things", "Things", counter.clone());
        counter.inc();
        let text = got(served(registry), "/metrics").await;
        assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"), "{text}");
        assert!(text.contains("example_things_total 1\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn the_version_is_a_metric() {
        let text = got(served(registry("example", "1.2.3")), "/metrics").await;
        assert!(text.contains("example_build_info{version=\"1.2.3\"} 1\n"), "{text}");
    }

    #[tokio::test]
    async fn the_metrics_port_answers_no_probe() {
        let address = served(Registry::default());
        for path in ["/healthz", "/readyz", "/"] {
            assert!(got(address, path).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
    }
}
