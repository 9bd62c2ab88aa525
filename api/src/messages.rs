//! The messages of the rules. The CRD's CEL rules and the webhook print the same text. `{}` is a
//! placeholder for the one number or name that a message may contain.

/// metadata.name.
pub(crate) const NAME: &str = "must be a lowercase DNS label of at most 63 characters that starts with a letter, because a Service and labels are named after the group";
/// Numbers of at least 1.
pub(crate) const POSITIVE: &str = "must be at least 1";
/// Numbers of at least 0. The API server's own text.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
/// spec.minReplicas; takes spec.maxReplicas.
pub(crate) const MIN_WITHIN_MAX: &str = "must not be more than spec.maxReplicas, which is {}";
/// spec.consumerSpec.image.
pub(crate) const IMAGE: &str = "must be an image reference such as registry.example.com/team/consumer:1.0";
/// Neither spec.consumerSpec.topic nor topics is set.
pub(crate) const NO_TOPIC: &str = "name a KafkaTopic here or in spec.consumerSpec.topics";
/// spec.consumerSpec.topic and topics.
pub(crate) const TOPIC: &str = "must be the name of a KafkaTopic resource: lowercase letters, digits, dashes and dots (the name in Kafka is the resource's spec.topicName)";
/// Names of namespaces and containers.
pub(crate) const DNS_LABEL: &str = "must be a lowercase DNS label of at most 63 characters";
/// Free text; takes the longest length.
pub(crate) const PRINTED: &str =
    "must be printable ASCII without leading or trailing spaces, at most {} characters";
/// Names of environment variables.
pub(crate) const ENV_NAME: &str = "must be printable ASCII without an equals sign";
/// An environment variable with a value and a valueFrom. The API server's own text.
pub(crate) const VALUE_FROM: &str = "may not be specified when `value` is not empty";
/// A rolling update that can neither add nor remove a pod. The API server's own text.
pub(crate) const NO_ROOM_TO_ROLL: &str = "may not be 0 when `maxSurge` is 0";
/// A rolling update of a Deployment that does not roll.
pub(crate) const RECREATE_ROLLS: &str = "may not be specified when strategy type is Recreate";
/// spec.metrics.lagMetric.
pub(crate) const METRIC: &str = "must be the name of a Prometheus metric: letters, digits, underscores and colons, not starting with a digit";
/// spec.metrics.lagStatistic together with lagMetric.
pub(crate) const LAG_STATISTIC: &str =
    "must not be set together with lagMetric, which always counts as a pod's largest value";
/// spec.scaling.metrics has the group's lag, or one that a preset can have.
pub(crate) const LAG_STATED_TWICE: &str = "must not be the group's lag, which the HorizontalPodAutoscaler reads anyway: set its limit by spec.averageRecordsLagLimit";
/// Prometheus durations.
pub(crate) const DURATION: &str = "must be a Prometheus duration such as 5s or 1m30s";
/// spec.metrics.bodySizeLimit.
pub(crate) const BODY_SIZE: &str = "must be a size such as 16MB or 512KB";
/// The same where an installation may do without the limit.
pub(crate) const BODY_SIZE_OR_NONE: &str = "must be a size such as 16MB or 512KB, or 0 for none";
/// spec.metrics.path.
pub(crate) const PATH: &str = "must be an HTTP path that starts with a slash";
/// spec.consumerSpec.readiness.
pub(crate) const READINESS: &str = "must be Preset, None or an HTTP path that starts with a slash";
/// spec.consumerSpec.readiness is Preset, and the preset has no path for it.
pub(crate) const READINESS_PATH: &str = "the path of the probe cannot be derived from spec.metrics.path, which does not end in /prometheus: set the path here";
/// Names of Secrets.
pub(crate) const SECRET: &str = "must be the name of a Secret: lowercase letters, digits, dashes and dots";
/// Annotations that the operator, kubectl or Kubernetes' controllers write.
pub(crate) const OWN_ANNOTATION: &str =
    "must not be an annotation that the operator, kubectl or the Deployment controller sets";
/// basicAuth and authorization of an endpoint.
pub(crate) const TWO_CREDENTIALS: &str = "must not be set together with authorization";
/// spec.metrics.port.
pub(crate) const PORT: &str = "must be a port between 1 and 65535";
/// Keys of Kubernetes labels.
pub(crate) const LABEL_KEY: &str = "must be a label key: an optional DNS name and a slash, then a name of at most 63 letters, digits, dashes, underscores and dots";
/// Values of Kubernetes labels.
pub(crate) const LABEL_VALUE: &str =
    "must be a label value: at most 63 letters, digits, dashes, underscores and dots";
/// Names of Prometheus labels.
pub(crate) const PROMETHEUS_LABEL: &str = "must be a Prometheus label: letters, digits and underscores, not starting with a digit or two underscores";
/// A label that the operator sets.
pub(crate) const OWN_LABEL: &str = "must not be a label that the operator sets";

/// The message with `value` in its placeholder.
pub(crate) fn fill(message: &str, value: impl std::fmt::Display) -> String {
    message.replacen("{}", &value.to_string(), 1)
}
