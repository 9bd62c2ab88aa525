//! The HTTP server: metrics for Prometheus, health for the kubelet.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;

use crate::callbacks::Callbacks;
use crate::member::LONGEST_RECORD;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes. Without a registry (--metrics off) only health is served.
pub fn routes(callbacks: &Callbacks, registry: Option<Registry>) -> Router {
    // The paths of a program in Kubernetes, and those of a Spring application.
    let router = ["/healthz", "/actuator/health/liveness"].into_iter().fold(Router::new(), |router, path| {
        let callbacks = callbacks.clone();
        router.route(path, get(async move || healthz(&callbacks)))
    });
    let router = ["/readyz", "/actuator/health/readiness"].into_iter().fold(router, |router, path| {
        let callbacks = callbacks.clone();
        router.route(path, get(async move || readyz(&callbacks)))
    });
    let Some(registry) = registry.map(Arc::new) else { return router };
    let actuator = Arc::clone(&registry);
    router
        .route("/metrics", get(async move || metrics(&registry)))
        // The path of a Spring application and of the operator's preset Spring.
        .route("/actuator/prometheus", get(async move || metrics(&actuator)))
}

/// A record that never ends blocks its partition. A restart moves the partition to another member.
fn healthz(callbacks: &Callbacks) -> impl IntoResponse + use<> {
    match callbacks.inbox().busy_for().filter(|time| *time > LONGEST_RECORD) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(time) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the current record has taken {} s\n", time.as_secs()))
        }
    }
}

fn readyz(callbacks: &Callbacks) -> impl IntoResponse + use<> {
    match callbacks.membership().ready(Instant::now()) {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            "cannot encode the metrics\n".to_owned(),
        ),
    }
}
