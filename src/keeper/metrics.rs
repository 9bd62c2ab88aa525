//! What the keeper counts and measures.

use kcg_certs::rotation::{CertificateSet, IssuedKind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::SystemTime;

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
    leaf: Gauge,
    authority: Gauge,
    renewals: Family<ByThing, Counter>,
    looks: Family<ByResult, Counter>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "certificate_not_after_seconds",
            "When the certificate in the Secret expires, in seconds since 1970; 0 while there is none, and where this replica does not lead",
            metrics.leaf.clone(),
        );
        registry.register(
            "ca_not_after_seconds",
            "When the authority that signs expires, in seconds since 1970; 0 while there is none, and where this replica does not lead",
            metrics.authority.clone(),
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
        self.leaf.set(seconds(set.certificate_not_after()));
        self.authority.set(seconds(set.ca_not_after()));
    }

    /// For as long as nobody looks here: whoever looks elsewhere has newer certificates to tell of.
    pub fn stands_elsewhere(&self) {
        self.leaf.set(0);
        self.authority.set(0);
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

fn seconds(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
