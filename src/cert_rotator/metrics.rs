//! The metrics of the certificate rotation.

use kcg_certs::rotation::{CertificateSet, IssuedKind};
use kcg_runtime::timestamp_gauge::TimestampGauge;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    result: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct CertRotatorMetrics {
    certificate_expiration: TimestampGauge,
    ca_expiration: TimestampGauge,
    renewals: Family<RenewalLabels, Counter>,
    syncs: Family<SyncLabels, Counter>,
}

impl CertRotatorMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
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
        registry.register("certificate_renewals", "Certificates and CAs issued", metrics.renewals.clone());
        registry.register(
            "certificate_syncs",
            "Reconciliations of the certificate Secret and the webhook configurations, by result",
            metrics.syncs.clone(),
        );
        metrics
    }

    pub(super) fn set_expirations(&self, set: &CertificateSet) {
        self.certificate_expiration.set(set.certificate_not_after());
        self.ca_expiration.set(set.ca_not_after());
    }

    /// Clears the timestamps of a replica that no longer leads: the new leader may renew the
    /// certificates.
    pub(super) fn clear_expirations(&self) {
        self.certificate_expiration.set(None);
        self.ca_expiration.set(None);
    }

    pub(super) fn count_renewal(&self, kind: IssuedKind) {
        let what = match kind {
            IssuedKind::ServingCertificate => "certificate",
            IssuedKind::Ca => "ca",
        };
        self.renewals.get_or_create(&RenewalLabels { what }).inc();
    }

    pub(super) fn count_sync(&self, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.syncs.get_or_create(&SyncLabels { result }).inc();
    }
}
