//! Names on which several crates must agree: the API group, field managers, labels, annotations and
//! environment variables; and the grammars of names.
//!
//! A grammar is one regular expression in the syntax that Rust's regex crate and CEL share, so the
//! CRD and the webhook apply the same expression.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// The API group of the resource, and the prefix of the operator's labels and annotations.
pub const GROUP: &str = "thenextapps.com";
/// The only version, served and stored.
pub const VERSION: &str = "v1alpha1";
/// The kind of the resource.
pub const KIND: &str = "KconsumerGroup";
/// The plural name of the resource.
pub const PLURAL: &str = "kconsumergroups";

/// The operator's name: the field manager of owned resources, their `app.kubernetes.io/managed-by`,
/// and the reporting controller of Events.
pub const OPERATOR: &str = "kconsumer-group-operator";
/// The prefix of every metric of the operator itself.
pub const METRIC_PREFIX: &str = "kconsumer_group_operator";
/// The field manager of a group's status.
pub const STATUS_MANAGER: &str = "kconsumer-group-operator-status";
/// The namespace into which the shipped manifests install.
pub const NAMESPACE: &str = "kconsumer-group-operator";
/// The name of the controller's Deployment and ServiceAccount.
pub const CONTROLLER: &str = "kconsumer-group-operator-controller";
/// The name of the webhook's Deployment, ServiceAccount and Service.
pub const WEBHOOK: &str = "kconsumer-group-operator-webhook";
/// The Lease with which the controller's replicas elect a leader.
pub const LEASE: &str = "kconsumer-group-operator";
/// The Secret that the webhook mounts: its certificate `tls.crt` with the key `tls.key`, and the
/// certificate of its CA, `ca.crt`.
pub const CERTIFICATE_SECRET: &str = "kconsumer-group-operator-webhook-tls";
/// The Secret of the CA with its key if the operator issues the certificate. No pod mounts it.
pub const CA_SECRET: &str = "kconsumer-group-operator-ca";
/// The field manager of caBundle in the webhook configurations if the operator issues the
/// certificate.
pub const CERTIFICATES_MANAGER: &str = "kconsumer-group-operator-certificates";

/// The DNS name by which the API server calls the webhook; the serving certificate must be valid
/// for it.
pub fn webhook_host(namespace: &str) -> String {
    format!("{WEBHOOK}.{namespace}.svc")
}

/// The label with the group's name on every owned resource and pod. Part of the Deployment's
/// selector.
pub const LABEL_GROUP: &str = "thenextapps.com/kconsumergroup";
/// The label with the group's name that the original operator set. Part of the Deployment's
/// selector.
pub const LABEL_APP: &str = "app";
/// The label by which the operator marks its owned resources; its value is [`OPERATOR`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation on the HorizontalPodAutoscaler with the held partitions: the last known partition
/// count of each topic.
pub const ANNOTATION_HELD: &str = "thenextapps.com/held-partitions";
/// The annotation on the Deployment with the version of the defaults that its pod template is built
/// with. Without it the version is 1.
pub const ANNOTATION_DEFAULTS_VERSION: &str = "thenextapps.com/defaults-version";
/// The annotation on the Deployment with a hash of the pod template that the spec describes: if it
/// changes, the template is built with the newest defaults.
pub const ANNOTATION_TEMPLATE_HASH: &str = "thenextapps.com/template-hash";
/// The annotation on the Deployment with the defaults of the installation that its pod template is
/// built with, as JSON. Without it there are none.
pub const ANNOTATION_TEMPLATE_DEFAULTS: &str = "thenextapps.com/template-defaults";

/// The annotation of a pod template with which `kubectl rollout restart` makes new pods.
pub const ANNOTATION_RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The environment variable with the comma-separated topics, as they are named in Kafka.
pub const ENV_TOPICS: &str = "KAFKA_TOPICS";
/// The environment variable with the consumer group's id.
pub const ENV_GROUP_ID: &str = "KAFKA_GROUP_ID";
/// The environment variable with Kafka's bootstrap servers.
pub const ENV_BOOTSTRAP_SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";
/// The variables by which Spring Boot takes the consumer group's id and the bootstrap servers, before
/// what an application sets from the operator's variables. The first that is set counts.
pub const SPRING_GROUP_ID: &str = "SPRING_KAFKA_CONSUMER_GROUP_ID";
/// See [`SPRING_GROUP_ID`].
pub const SPRING_BOOTSTRAP_SERVERS: [&str; 2] =
    ["SPRING_KAFKA_CONSUMER_BOOTSTRAP_SERVERS", "SPRING_KAFKA_BOOTSTRAP_SERVERS"];

/// The name of the container port and of the Service port that Prometheus scrapes.
pub const METRICS_PORT_NAME: &str = "metrics";

/// The longest label value, and the longest name of a Service, in bytes.
pub const LABEL_LENGTH: usize = 63;
/// The longest name of most objects (DNS-1123 subdomain), in bytes.
pub const SUBDOMAIN_LENGTH: usize = 253;

/// The grammar of a name: an anchored regular expression, compiled on first use.
pub struct Grammar {
    /// The expression, in the syntax of CEL's `matches`.
    pub pattern: &'static str,
    /// The longest text that matches, in bytes.
    pub length: usize,
    compiled: LazyLock<Regex>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern)
    }
}

impl Grammar {
    /// Whether `text` follows the grammar and is not too long.
    pub fn matches(&self, text: &str) -> bool {
        text.len() <= self.length && self.compiled.is_match(text)
    }
}

/// Whether a text follows [`LABEL_KEY`], and its prefix is no longer than a DNS subdomain, which a
/// regular expression cannot say.
pub fn is_label_key(key: &str) -> bool {
    LABEL_KEY.matches(key) && key.split_once('/').is_none_or(|(prefix, _)| prefix.len() <= SUBDOMAIN_LENGTH)
}

macro_rules! grammar {
    ($(#[$doc:meta])* $name:ident, $length:expr, $pattern:expr) => {
        $(#[$doc])*
        pub static $name: Grammar = Grammar {
            pattern: $pattern,
            length: $length,
            // The tests below compile every pattern.
            compiled: LazyLock::new(|| Regex::new($pattern).expect("invariant: the pattern compiles")),
        };
    };
}

grammar!(
    /// DNS-1123 label: namespaces, containers.
    DNS_LABEL, LABEL_LENGTH, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
);
grammar!(
    /// DNS-1035 label: the name of a Service.
    SERVICE_NAME, LABEL_LENGTH, r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
);
grammar!(
    /// DNS-1123 subdomain: the name of a KafkaTopic and of most other objects.
    SUBDOMAIN, SUBDOMAIN_LENGTH, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
);
grammar!(
    /// A topic's name in Kafka, which also excludes `.` and `..`.
    KAFKA_TOPIC, 249, r"^[a-zA-Z0-9._-]+$"
);
grammar!(
    /// Kafka's id of a topic: base64url. Kafka writes 22 characters.
    TOPIC_ID, 64, r"^[A-Za-z0-9_-]+={0,2}$"
);
grammar!(
    /// Label key: an optional DNS subdomain and a slash, then a name of up to 63 characters. See
    /// [`is_label_key`].
    LABEL_KEY, 317, r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
);
grammar!(
    /// Label value.
    LABEL_VALUE, LABEL_LENGTH, r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
);
grammar!(
    /// Name of a Prometheus metric.
    METRIC_NAME, 1024, r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
);
grammar!(
    /// A Prometheus label that users may set on an alert.
    PROMETHEUS_LABEL, 1024, r"^([a-zA-Z][a-zA-Z0-9_]*|_([a-zA-Z0-9][a-zA-Z0-9_]*)?)$"
);
grammar!(
    /// A Prometheus label, the internal ones included.
    LABEL_NAME, 256, r"^[a-zA-Z_][a-zA-Z0-9_]*$"
);
grammar!(
    /// A Prometheus label that a relabeling makes from the groups of its regex, as
    /// prometheus-operator validates it.
    LABEL_TEMPLATE, 256, r"^(([a-zA-Z_]|\$(\{[0-9A-Za-z_]+\}|[0-9A-Za-z_]+))+[0-9A-Za-z_]*)+$"
);
grammar!(
    /// Key of a Secret's or a ConfigMap's data.
    DATA_KEY, SUBDOMAIN_LENGTH, r"^[-._a-zA-Z0-9]+$"
);
grammar!(
    /// A Prometheus duration above zero, its units largest first: `5s`, `1m30s`.
    DURATION,
    64,
    concat!(
        r"^([1-9][0-9]{0,3}w([1-9][0-9]{0,3}d)?([1-9][0-9]{0,3}h)?([1-9][0-9]{0,5}m)?([1-9][0-9]{0,8}s)?([1-9][0-9]{0,8}ms)?",
        r"|[1-9][0-9]{0,3}d([1-9][0-9]{0,3}h)?([1-9][0-9]{0,5}m)?([1-9][0-9]{0,8}s)?([1-9][0-9]{0,8}ms)?",
        r"|[1-9][0-9]{0,3}h([1-9][0-9]{0,5}m)?([1-9][0-9]{0,8}s)?([1-9][0-9]{0,8}ms)?",
        r"|[1-9][0-9]{0,5}m([1-9][0-9]{0,8}s)?([1-9][0-9]{0,8}ms)?",
        r"|[1-9][0-9]{0,8}s([1-9][0-9]{0,8}ms)?",
        r"|[1-9][0-9]{0,8}ms)$"
    )
);
grammar!(
    /// HTTP path, with the characters that a URL allows in path and query.
    HTTP_PATH, 1024, r"^/[-A-Za-z0-9._~!$&'()*+,;=:@%/?]*$"
);
grammar!(
    /// Name of an HTTP header.
    HTTP_HEADER, 1024, r"^[-A-Za-z0-9]+$"
);
grammar!(
    /// A domain in which names are searched: a subdomain that may have underscores.
    SEARCH_DOMAIN, SUBDOMAIN_LENGTH, r"^_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$"
);
grammar!(
    /// Size of a scrape's body, as in a ServiceMonitor: `16MB`. 0 is none.
    BODY_SIZE, 32, r"^(0|[1-9][0-9]{0,8}([KMG]i?)?B)$"
);
grammar!(
    /// Quantity of a resource: `100m`, `1.5Gi`, `2e3`.
    QUANTITY, 64, r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?$"
);
grammar!(
    /// spec.consumerSpec.readiness: a word or an HTTP path.
    READINESS, 1024, r"^(Preset|None|/[-A-Za-z0-9._~!$&'()*+,;=:@%/?]*)$"
);
grammar!(
    /// Name of an environment variable, as the API server validates it: printable ASCII without
    /// `=`.
    ENV_NAME, 1024, r"^[ -<>-~]+$"
);
grammar!(
    /// Printable ASCII without leading or trailing spaces: a consumer group's id, bootstrap
    /// servers.
    PRINTED, 2048, r"^[!-~]([ -~]*[!-~])?$"
);
grammar!(
    /// Container image reference, as the distribution project defines it.
    IMAGE, 1024, concat!(
        r"^((([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]*[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(:[0-9]+)?/)?",
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
        r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?",
        r"(@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$"
    )
);

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_grammar(grammar: &Grammar, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(grammar.matches(text), "{grammar:?} accepts {text}");
        }
        for text in bad {
            assert!(!grammar.matches(text), "{grammar:?} rejects {text}");
        }
    }

    #[test]
    fn image_references_follow_the_distribution_grammar() {
        let digest = format!("ghcr.io/a/b@sha256:{}", "a".repeat(64));
        let good = [
            "nginx",
            "thenextapps/kconsumer:latest",
            "registry.example.com:5000/team/app_x:1.0-rc.1",
            "localhost/app",
            "a/b--c:T",
            &digest,
        ];
        let bad = ["", " ", "a b", "x/UPPER", "a//b", "a:", "a:-x", "-a", "a-", "a@sha256:zz", "a:b:c", "ä"];
        assert_grammar(&IMAGE, &good, &bad);
    }

    #[test]
    fn durations_follow_prometheus_grammar() {
        assert_grammar(
            &DURATION,
            &["5s", "1m", "1m30s", "1h", "500ms", "1d12h"],
            &["", "5", "s", "0s", "30s1m", "1.5m", "5 s", "-5s", "1m1m"],
        );
    }

    #[test]
    fn names_follow_the_dns_grammars() {
        assert_grammar(
            &SERVICE_NAME,
            &["kconsumer", "a1-b"],
            &["1consumer", "a.b", "a-", "", "A", &"a".repeat(64)],
        );
        assert_grammar(&SUBDOMAIN, &["my.topic-1"], &["my_topic", "a..b", ""]);
        assert_grammar(&DNS_LABEL, &["1a"], &["a.b", ""]);
    }

    #[test]
    fn labels_metrics_paths_and_variables_follow_their_own_grammars() {
        assert_grammar(&METRIC_NAME, &["kafka:lag_max"], &["9lag", "lag max", "", "a{b}"]);
        assert_grammar(&PROMETHEUS_LABEL, &["team"], &["te:am", "1a", "", "__name__"]);
        assert_grammar(&LABEL_KEY, &["example.com/team", "release"], &["a/b/c", "", "-x"]);
        let key = |prefix: usize| format!("{}/{}", "a".repeat(prefix), "b".repeat(63));
        assert!(is_label_key(&key(253)) && !is_label_key(&key(254)) && is_label_key(&"b".repeat(63)));
        assert_grammar(&LABEL_VALUE, &["", "k8s"], &["-x", "a b"]);
        assert_grammar(&HTTP_PATH, &["/actuator/prometheus", "/m?x=1"], &["metrics", "/a b", "/\""]);
        assert_grammar(&HTTP_HEADER, &["X-From"], &["", "a b", "a_b"]);
        assert_grammar(&SEARCH_DOMAIN, &["example.com", "_tcp.a_b"], &["", "a b", "a.", "A"]);
        assert_grammar(&ENV_NAME, &["KAFKA_TOPICS", "a.b"], &["", "A=B", "ä"]);
        assert_grammar(&PRINTED, &["my-cluster-kafka-bootstrap:9092"], &["", " a", "a\nb"]);
    }
}
