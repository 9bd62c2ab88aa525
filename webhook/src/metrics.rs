//! What the webhook counts. No label grows with what clients send. Floor 3.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::admit::Stage;
use crate::review::Outcome;

/// Handles of the webhook's metrics; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    admissions: Family<Outcome, Counter>,
    duration: Family<ByStage, Histogram>,
    refused_requests: Family<ByCode, Counter>,
    connections: Gauge,
    faults: Family<ByReason, Counter>,
    not_after: Gauge,
    authority_not_after: Gauge,
    reloads: Family<ByResult, Counter>,
    kept: Gauge,
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
struct ByResult {
    result: Reload,
}

/// What came of a look at the certificate folder whose content had changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Reload {
    /// The new pair is served.
    Taken,
    /// A file is missing or may not be read.
    Unreadable,
    /// The files hold no certificate, or no key.
    Unusable,
    /// The key is that of another certificate.
    Mismatched,
    /// The certificate is for other names.
    OtherNames,
    NotYetValid,
    Expired,
}

impl Metrics {
    /// Registers the metrics; the registry brings the product's prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            admissions: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_05, 2.0, 18))),
            refused_requests: Family::default(),
            connections: Gauge::default(),
            faults: Family::default(),
            not_after: Gauge::default(),
            authority_not_after: Gauge::default(),
            reloads: Family::default(),
            kept: Gauge::default(),
        };
        metrics.register_reviews(registry);
        metrics.register_transport(registry);
        metrics
    }

    fn register_reviews(&self, registry: &mut Registry) {
        registry.register(
            "admissions",
            "Admission reviews answered, by operation, decision and the first rule that decided",
            self.admissions.clone(),
        );
        registry.register(
            "admission_duration_seconds",
            "From the end of a review's head to its answer, by webhook",
            self.duration.clone(),
        );
        registry.register(
            "webhook_refused_requests",
            "Requests to the admission port that were no review, by HTTP status",
            self.refused_requests.clone(),
        );
    }

    fn register_transport(&self, registry: &mut Registry) {
        registry.register(
            "webhook_connections",
            "Connections open on the admission port",
            self.connections.clone(),
        );
        registry.register(
            "webhook_connection_faults",
            "Connections that ended other than by their client's wish, by reason",
            self.faults.clone(),
        );
        registry.register(
            "certificate_not_after_seconds",
            "When the served certificate expires, in seconds since 1970; 0 while there is none",
            self.not_after.clone(),
        );
        registry.register(
            "ca_not_after_seconds",
            "When the authority in the certificate folder expires, in seconds since 1970; 0 where there is none",
            self.authority_not_after.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Changes seen in the certificate folder: taken, or why the last good pair is served on",
            self.reloads.clone(),
        );
        registry.register(
            "certificate_kept",
            "1 while the certificate folder holds something that is not taken and the last good pair is served on",
            self.kept.clone(),
        );
    }

    pub(crate) fn admission(&self, outcome: &Outcome) {
        self.admissions.get_or_create(outcome).inc();
    }

    pub(crate) fn answered(&self, stage: Stage, took: Duration) {
        self.duration.get_or_create(&ByStage { stage }).observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, status: StatusCode) {
        self.refused_requests.get_or_create(&ByCode { code: status.as_u16() }).inc();
    }

    pub(crate) fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn turned_away(&self, reason: &'static str) {
        self.faults.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn reloaded(&self, result: Reload) {
        self.reloads.get_or_create(&ByResult { result }).inc();
    }

    /// Whether the folder holds something that is not taken.
    pub(crate) fn keeps_the_last_one(&self, kept: bool) {
        self.kept.set(i64::from(kept));
    }

    pub(crate) fn certificate_expires(&self, not_after: SystemTime) {
        self.not_after.set(seconds(not_after));
    }

    pub(crate) fn authority_expires(&self, not_after: SystemTime) {
        self.authority_not_after.set(seconds(not_after));
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
