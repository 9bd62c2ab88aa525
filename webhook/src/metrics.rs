//! The metrics of the webhook. No label depends on what clients send.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use kcg_runtime::timestamp_gauge::TimestampGauge;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::admit::Stage;
use crate::review::ReviewOutcome;

/// The metrics of the webhook. Clones count into the same metrics.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    reviews: Family<ReviewOutcome, Counter>,
    duration: Family<ByStage, Histogram>,
    invalid_requests: Family<ByCode, Counter>,
    connections: Gauge,
    connection_errors: Family<ByReason, Counter>,
    certificate_expiration: TimestampGauge,
    ca_expiration: TimestampGauge,
    reloads: Family<ByReload, Counter>,
    certificate_rejected: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReload {
    result: Reload,
}

/// The result of reading changed certificate files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Reload {
    /// The server uses the new certificate.
    Loaded,
    /// A file is missing or cannot be read.
    Unreadable,
    /// The files contain no certificate, or no key.
    Unusable,
    /// The key does not belong to the certificate.
    Mismatched,
    /// The certificate is for other DNS names.
    OtherNames,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate has expired.
    Expired,
}

impl WebhookMetrics {
    /// Registers the metrics. The registry adds the product's prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_05, 2.0, 18))),
            invalid_requests: Family::default(),
            connections: Gauge::default(),
            connection_errors: Family::default(),
            certificate_expiration: TimestampGauge::default(),
            ca_expiration: TimestampGauge::default(),
            reloads: Family::default(),
            certificate_rejected: Gauge::default(),
        };
        metrics.register_reviews(registry);
        metrics.register_transport(registry);
        metrics.register_certificate(registry);
        metrics
    }

    fn register_reviews(&self, registry: &mut Registry) {
        registry.register(
            "admission_reviews",
            "Admission reviews by operation, decision and the first violated rule",
            self.reviews.clone(),
        );
        registry.register(
            "admission_duration_seconds",
            "Time from the end of a request's head to its response, by webhook",
            self.duration.clone(),
        );
        registry.register(
            "webhook_invalid_requests",
            "Requests to the admission port that are not valid reviews, by HTTP status code",
            self.invalid_requests.clone(),
        );
    }

    fn register_transport(&self, registry: &mut Registry) {
        registry.register(
            "webhook_connections",
            "Open connections on the admission port",
            self.connections.clone(),
        );
        registry.register(
            "webhook_connection_errors",
            "Connections to the admission port that ended with an error, by reason",
            self.connection_errors.clone(),
        );
    }

    fn register_certificate(&self, registry: &mut Registry) {
        self.certificate_expiration.register(
            registry,
            "certificate_expiration_timestamp_seconds",
            "When the served certificate expires, as a Unix timestamp; 0 if there is none",
        );
        self.ca_expiration.register(
            registry,
            "ca_expiration_timestamp_seconds",
            "When the CA in the certificate directory expires, as a Unix timestamp; 0 if there is none",
        );
        registry.register(
            "certificate_reloads",
            "Changes of the certificate files by result: loaded, or why the last valid certificate stays in use",
            self.reloads.clone(),
        );
        registry.register(
            "certificate_rejected",
            "1 if the certificate files were rejected and the last valid certificate stays in use",
            self.certificate_rejected.clone(),
        );
    }

    pub(crate) fn count_review(&self, outcome: &ReviewOutcome) {
        self.reviews.get_or_create(outcome).inc();
    }

    pub(crate) fn record_duration(&self, stage: Stage, duration: Duration) {
        self.duration.get_or_create(&ByStage { stage }).observe(duration.as_secs_f64());
    }

    pub(crate) fn count_invalid_request(&self, status: StatusCode) {
        self.invalid_requests.get_or_create(&ByCode { code: status.as_u16() }).inc();
    }

    pub(crate) fn set_connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_connection_error(&self, reason: &'static str) {
        self.connection_errors.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn count_reload(&self, result: Reload) {
        self.reloads.get_or_create(&ByReload { result }).inc();
    }

    /// Records whether the certificate files were rejected while an older certificate stays in use.
    pub(crate) fn set_certificate_rejected(&self, rejected: bool) {
        self.certificate_rejected.set(i64::from(rejected));
    }

    pub(crate) fn set_expirations(&self, certificate: SystemTime, ca: Option<SystemTime>) {
        self.certificate_expiration.set(Some(certificate));
        self.ca_expiration.set(ca);
    }
}
