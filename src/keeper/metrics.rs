//! What the keeper counts and measures.

use kcg_certs::rotation::{CertificateSet, IssuedKind};
use kcg_runtime::timestamp_gauge::TimestampGauge;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByThing {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    certificate_expiration: TimestampGauge,
    ca_expiration: TimestampGauge,
    renewals: Family<ByThing, Counter>,
    looks: Family<ByResult, Counter>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.certificate_expiration.register(
            registry,
            "certificate_expiration_timestamp_seconds",
            "When the certificate in the Secret expires, as a Unix timestamp; 0 if there is none or this replica does not lead",
        );
        metrics.ca_expiration.register(
            registry,
            "ca_expiration_timestamp_seconds",
            "When the CA that signs expires, as a Unix timestamp; 0 if there is none or this replica does not lead",
        );
        registry.register(
            "certificate_renewals",
            "Certificates issued, by what they are",
            metrics.renewals.clone(),
        );
        registry.register(
            "certificate_looks",
            "Looks at the Secret and the registrations, by result",
            metrics.looks.clone(),
        );
        metrics
    }

    pub fn stands(&self, set: &CertificateSet) {
        self.certificate_expiration.set(set.certificate_not_after());
        self.ca_expiration.set(set.ca_not_after());
    }

    /// For as long as nobody looks here: whoever looks elsewhere has newer certificates to tell of.
    pub fn stands_elsewhere(&self) {
        self.certificate_expiration.set(None);
        self.ca_expiration.set(None);
    }

    pub fn renewed(&self, what: IssuedKind) {
        let what = match what {
            IssuedKind::ServingCertificate => "certificate",
            IssuedKind::Ca => "ca",
        };
        self.renewals.get_or_create(&ByThing { what }).inc();
    }

    pub fn looked(&self, in_order: bool) {
        let result = if in_order { "in_order" } else { "failed" };
        self.looks.get_or_create(&ByResult { result }).inc();
    }
}
