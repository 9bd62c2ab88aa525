//! `kproducer serve`: the original's GET /send/{n}, health and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::kafka::Kafka;
use crate::keys::Distribution;
use crate::order::Order;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The limit for Kafka's answer about a topic.
const TOPIC: Duration = Duration::from_secs(3);

/// The state that the handlers share.
#[derive(Clone)]
pub struct Serving {
    /// The producer.
    pub kafka: Kafka,
    /// Kafka's bootstrap servers, for messages.
    pub bootstrap_servers: String,
    /// The topics that each request sends to.
    pub topics: Vec<String>,
    /// The most records of one request.
    pub most: u64,
    /// The metrics.
    pub registry: Arc<Registry>,
    /// Set when the process has to end.
    pub stop: Arc<AtomicBool>,
}

/// The routes.
pub fn routes(serving: Serving) -> Router {
    Router::new()
        // A GET should not change anything, but the original and its README use it.
        .route("/send/{n}", get(send))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(serving)
}

/// Answers when the broker has confirmed every record, or reports what it confirmed. Sending stops
/// if the client disconnects.
async fn send(State(serving): State<Serving>, Path(count): Path<String>) -> (StatusCode, String) {
    let Ok(count) = count.parse() else {
        return (StatusCode::BAD_REQUEST, format!("{count:?} is not a number of records: GET /send/10000\n"));
    };
    if count > serving.most {
        let most = serving.most;
        return (
            StatusCode::BAD_REQUEST,
            format!("{count} records are more than {most}: start with --most {count}\n"),
        );
    }
    // This also updates the client's list of partitions.
    if let Err(reason) = check_topics(&serving).await {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("confirmed nothing: {reason}\n"));
    }
    let topics = serving.topics.clone();
    let order = Order { topics, count, rate: None, size: 0, keys: Distribution::Uniform };
    let tally = order.tally();
    let client = Client::default();
    let counts = {
        let (tally, gone) = (Arc::clone(&tally), Arc::clone(&client.gone));
        let stopped = move || gone.load(Ordering::Relaxed) || serving.stop.load(Ordering::Relaxed);
        spawn_blocking(move || order.carry_out(&serving.kafka, &tally, stopped)).await
    };
    let counts = counts.unwrap_or_else(|_| tally.read());
    if counts.unconfirmed() == 0 {
        info!("Sent all messages\n{counts}");
        (StatusCode::OK, format!("Sent {count} + 1\n"))
    } else {
        warn!("{counts}");
        (StatusCode::SERVICE_UNAVAILABLE, format!("{counts}\n"))
    }
}

/// The client of a request. It is dropped with its handler when the connection ends.
#[derive(Debug, Default)]
struct Client {
    gone: Arc<AtomicBool>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

async fn readyz(State(serving): State<Serving>) -> (StatusCode, String) {
    match check_topics(&serving).await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

/// Fails if Kafka is unreachable or a topic is missing.
async fn check_topics(serving: &Serving) -> Result<(), String> {
    let Serving { kafka, bootstrap_servers, topics, .. } = serving.clone();
    let checked = spawn_blocking(move || {
        topics.iter().try_for_each(|topic| match kafka.has_topic(topic, TOPIC) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("the topic {topic} does not exist")),
            Err(failure) => {
                Err(format!("cannot read topic {topic} from Kafka at {bootstrap_servers}: {failure}"))
            }
        })
    });
    checked.await.unwrap_or_else(|failure| Err(failure.to_string()))
}

async fn metrics(State(serving): State<Serving>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &serving.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            "cannot encode the metrics\n".to_owned(),
        ),
    }
}
