//! What each rule says, once: the CRD's CEL rules and the webhook print the same text. `{}` stands for the
//! one number or name that a sentence may hold.

pub const NAME: &str = "must be a lower-case DNS label of at most 63 characters that begins with a letter, since a Service and labels are named after the group";
pub const POSITIVE: &str = "must be at least 1";
pub const MIN_WITHIN_MAX: &str = "must not be more than spec.maxReplicas, which is {}";
pub const IMAGE: &str = "must be an image reference such as registry.example.com/team/consumer:1.0";
pub const NO_TOPIC: &str = "name a KafkaTopic here or in spec.consumerSpec.topics";
pub const TOPIC: &str = "must be the name of a KafkaTopic resource: lower-case letters, digits, dashes and dots (the name in Kafka stands in its spec.topicName)";
pub const DNS_LABEL: &str = "must be a lower-case DNS label of at most 63 characters";
pub const PRINTED: &str = "must be printable ASCII without blanks at its ends, at most {} characters";
pub const ENV_NAME: &str = "must be printable ASCII without an equals sign";
/// The API server's own words, as are the next.
pub const VALUE_FROM: &str = "may not be specified when `value` is not empty";
pub const NO_ROOM_TO_ROLL: &str = "may not be 0 when `maxSurge` is 0";
pub const METRIC: &str = "must be the name of a Prometheus metric: letters, digits, underscores and colons, not beginning with a digit";
pub const DURATION: &str = "must be a Prometheus duration such as 5s or 1m30s";
pub const PATH: &str = "must be an HTTP path that begins with a slash";
pub const PORT: &str = "must be a port between 1 and 65535";

pub const LABEL_KEY: &str = "must be a label's key: an optional DNS name and a slash, then a name of at most 63 letters, digits, dashes, underscores and dots";
pub const LABEL_VALUE: &str =
    "must be a label's value: at most 63 letters, digits, dashes, underscores and dots";
pub const PROMETHEUS_LABEL: &str = "must be a Prometheus label: letters, digits and underscores, not beginning with a digit or two underscores";
pub const OWN_LABEL: &str = "the operator sets this label";

/// The sentence with `value` in its gap.
pub fn fill(sentence: &str, value: impl std::fmt::Display) -> String {
    sentence.replacen("{}", &value.to_string(), 1)
}
