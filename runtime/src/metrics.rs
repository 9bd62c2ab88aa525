//! /metrics over plain HTTP on a port of its own.

use std::{fmt, net::SocketAddr, sync::Arc, sync::Weak, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text::encode};
use prometheus_client::metrics::{MetricType, gauge::ConstGauge, info::Info};
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http_server::{HttpServer, ServerLimits, plain};
use crate::listen::{BindAddress, ListenError};

/// A few Prometheus servers at a time. The lifetime is Prometheus' default scrape timeout.
const LIMITS: ServerLimits =
    ServerLimits { connections: 16, head: Duration::from_secs(5), lifetime: Duration::from_secs(10) };

/// Texts in memory at a time. A client that does not read its response keeps a text until the
/// connection's lifetime ends; a text of ten thousand groups has about 5 MB.
const MAX_TEXTS: usize = 4;

/// OpenMetrics, as prometheus-client writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry whose metrics all start with `prefix`. It holds `<prefix>_build_info{version}` and
/// `<prefix>_tasks` so far.
pub fn registry(prefix: &str, version: &str) -> Registry {
    let mut registry = Registry::with_prefix(prefix);
    let info = Info::new([("version", version.to_owned())]);
    registry.register("build", "The version of the running process", info);
    registry.register_collector(Box::new(TaskCollector));
    registry
}

/// Counts the tasks of the runtime that serves the metrics.
#[derive(Debug)]
struct TaskCollector;

impl Collector for TaskCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tasks = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let gauge = ConstGauge::new(i64::try_from(tasks).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(
            "tasks",
            "Asynchronous tasks that are not finished",
            None,
            MetricType::Gauge,
        )?)
    }
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
        let texts = Texts { registry, newest: None, kept: Vec::new() };
        let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(Mutex::new(texts)));
        self.0.serve(router, stop).await;
    }
}

/// The registry and the texts of it that clients still read.
struct Texts {
    registry: Registry,
    /// When the encoding of the newest text began, and the text.
    newest: Option<(Instant, Weak<String>)>,
    kept: Vec<Weak<String>>,
}

impl Texts {
    /// The text for a request of this time. It is a shared one if its encoding began later, or if too
    /// many are in memory already.
    fn current(&mut self, requested: Instant) -> Result<Arc<String>, fmt::Error> {
        self.kept.retain(|text| text.strong_count() > 0);
        if let Some((began, text)) = &self.newest
            && (*began >= requested || self.kept.len() >= MAX_TEXTS)
            && let Some(text) = text.upgrade()
        {
            return Ok(text);
        }
        let (began, mut text) = (Instant::now(), String::new());
        encode(&mut text, &self.registry)?;
        let text = Arc::new(text);
        self.newest = Some((began, Arc::downgrade(&text)));
        self.kept.push(Arc::downgrade(&text));
        Ok(text)
    }
}

/// The body of a response, which frees the text after the last client has read it.
struct SharedText(Arc<String>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Encodes one text at a time for all that wait: scrapes cost at most one thread, however many clients
/// there are.
async fn metrics(State(texts): State<Arc<Mutex<Texts>>>) -> Response {
    let requested = Instant::now();
    let encoded = texts.lock().await.current(requested);
    match encoded {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], Bytes::from_owner(SharedText(text))).into_response(),
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
        assert!(text.contains("example_things_total 1\n"), "{text}");
        assert!(text.contains("\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn the_version_is_a_metric() {
        let text = got(served(registry("example", "1.2.3")), "/metrics").await;
        assert!(text.contains("example_build_info{version=\"1.2.3\"} 1\n"), "{text}");
    }

    #[tokio::test]
    async fn unfinished_tasks_are_counted() {
        let address = served(registry("example", "1.2.3"));
        let tasks = async || -> usize {
            let text = got(address, "/metrics").await;
            let line = text.lines().find_map(|line| line.strip_prefix("example_tasks "));
            line.unwrap().parse().unwrap()
        };
        let before = tasks().await;
        let more: Vec<_> = (0..10).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        assert!(tasks().await >= before + more.len());
    }

    #[tokio::test]
    async fn the_metrics_port_answers_no_probe() {
        let address = served(Registry::default());
        for path in ["/healthz", "/readyz", "/"] {
            assert!(got(address, path).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    fn texts() -> Texts {
        Texts { registry: registry("example", "1.2.3"), newest: None, kept: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_that_waited_share_a_text_and_a_later_one_gets_a_new_text() {
        let mut texts = texts();
        let requested = Instant::now();
        let first = texts.current(requested).unwrap();
        assert!(Arc::ptr_eq(&first, &texts.current(requested).unwrap()));
        tokio::time::advance(Duration::from_millis(1)).await;
        let later = texts.current(Instant::now()).unwrap();
        assert!(!Arc::ptr_eq(&first, &later));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_do_not_read_keep_few_texts_in_memory_and_keep_no_one_out() {
        let mut texts = texts();
        let mut unread = Vec::new();
        for _ in 0..3 * MAX_TEXTS {
            tokio::time::advance(Duration::from_millis(1)).await;
            unread.push(texts.current(Instant::now()).unwrap());
        }
        unread.dedup_by(|a, b| Arc::ptr_eq(a, b));
        assert_eq!(unread.len(), MAX_TEXTS);
        unread.remove(0);
        tokio::time::advance(Duration::from_millis(1)).await;
        let fresh = texts.current(Instant::now()).unwrap();
        assert!(unread.iter().all(|text| !Arc::ptr_eq(text, &fresh)));
    }
}
