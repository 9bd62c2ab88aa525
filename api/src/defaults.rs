//! The static defaults. The `Default` of the spec's types takes them from here: serde applies them to a
//! typed group, and schemars writes them into the CRD. A field that an installation can set
//! ([`crate::group_defaults`]) has none in the CRD: it must stay visible whether the group sets it.

use crate::inherited_metadata::Labels;

/// spec.minReplicas.
pub(crate) const MIN_REPLICAS: i32 = 1;
/// spec.averageRecordsLagLimit, in records.
pub(crate) const AVERAGE_RECORDS_LAG_LIMIT: i64 = 1000;
/// spec.consumerSpec.partitionsPerConsumer.
pub(crate) const PARTITIONS_PER_CONSUMER: i32 = 1;
/// spec.scaling.minReadySeconds: a container that fails soon after its start is not available.
pub(crate) const MIN_READY_SECONDS: i32 = 15;
/// How long a pod has to end, in seconds: enough to finish a message, commit and leave the consumer
/// group.
pub const TERMINATION_GRACE_SECONDS: i64 = 60;
/// spec.metrics.interval.
pub(crate) const SCRAPE_INTERVAL: &str = "5s";
/// spec.alerts.for.
pub(crate) const ALERT_FOR: &str = "1m";
/// spec.alerts.severity.
pub(crate) const ALERT_SEVERITY: &str = "warning";

/// spec.alerts.ruleLabels: the labels by which the Prometheus of kube-prometheus selects
/// PrometheusRules.
pub fn rule_labels() -> Labels {
    [("prometheus", "k8s"), ("role", "alert-rules")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}
