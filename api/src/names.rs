//! Every name that more than one place must agree on: the API group, field managers, labels,
//! annotations, environment variables, and the grammars that names have to follow. Floor 0.
//!
//! A grammar is one regular expression in the syntax that Rust's regex crate and CEL share, so that the
//! CRD and the webhook hold a name to the same text.

use regex::Regex;
use std::fmt;
use std::sync::LazyLock;

/// The API group of the resource, also the prefix of our labels and annotations.
pub const GROUP: &str = "thenextapps.com";
/// The one version served and stored.
pub const VERSION: &str = "v1alpha1";
pub const KIND: &str = "KconsumerGroup";
pub const PLURAL: &str = "kconsumergroups";

/// The operator's name: field manager, `app.kubernetes.io/managed-by`, reporting controller.
pub const OPERATOR: &str = "kconsumer-group-operator";
/// The prefix of every metric of the operator itself.
pub const METRIC_PREFIX: &str = "kconsumer_group_operator";
/// The field manager of the status subresource, apart from the children's.
pub const STATUS_MANAGER: &str = "kconsumer-group-operator-status";
/// The namespace that the shipped manifests install into.
pub const NAMESPACE: &str = "kconsumer-group-operator";
/// The two processes: their Deployments, ServiceAccounts and the webhook's Service.
pub const CONTROLLER: &str = "kconsumer-group-operator-controller";
pub const WEBHOOK: &str = "kconsumer-group-operator-webhook";
/// The Lease that the controller's replicas compete for.
pub const LEASE: &str = "kconsumer-group-operator";
/// The Secret that the webhook's certificate comes in: `tls.crt` and `tls.key`, and beside them its authority where
/// the operator keeps that itself.
pub const CERTIFICATE_SECRET: &str = "kconsumer-group-operator-webhook-tls";
/// The field manager of caBundle in the registrations, where the operator keeps its certificates itself.
pub const CERTIFICATES_MANAGER: &str = "kconsumer-group-operator-certificates";

/// The DNS name that the API server asks the webhook for, whose certificate has to be for it.
pub fn webhook_host(namespace: &str) -> String {
    format!("{WEBHOOK}.{namespace}.svc")
}

/// The label that every child and pod carries with the group's name; the pods' selector holds it.
pub const LABEL_GROUP: &str = "thenextapps.com/kconsumergroup";
/// The original's label, kept on children, pods and selector.
pub const LABEL_APP: &str = "app";
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// On the HPA: the last good partition counts, topic by topic, that hold the ceiling.
pub const ANNOTATION_HELD: &str = "thenextapps.com/held-partitions";

/// What the consumer's container is told.
pub const ENV_TOPICS: &str = "KAFKA_TOPICS";
pub const ENV_GROUP_ID: &str = "KAFKA_GROUP_ID";
pub const ENV_BOOTSTRAP_SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// The name of the container port and of the Service's port that Prometheus scrapes.
pub const METRICS_PORT_NAME: &str = "metrics";

/// The group's alerts; the first is the original's.
pub const ALERT_LAG: &str = "RecordsLagBreached";
pub const ALERT_AT_CEILING: &str = "RecordsLagAtCeiling";
pub const ALERT_NO_METRICS: &str = "RecordsLagAbsent";
pub const ALERT_NO_CONSUMERS: &str = "NoConsumers";
pub const ALERT_IDLE: &str = "ConsumersIdle";
pub const ALERT_SKEWED: &str = "RecordsLagSkewed";

/// The longest name that can stand in a label value and name a Service.
pub const LABEL_LENGTH: usize = 63;
/// The longest name of most objects (DNS-1123 subdomain).
pub const SUBDOMAIN_LENGTH: usize = 253;

/// What a name has to look like: an anchored expression, compiled when it is first needed.
pub struct Grammar {
    /// The expression, as CEL's `matches` takes it.
    pub pattern: &'static str,
    /// The longest text it may match, in bytes.
    pub length: usize,
    compiled: LazyLock<Regex>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern)
    }
}

impl Grammar {
    pub fn matches(&self, text: &str) -> bool {
        text.len() <= self.length && self.compiled.is_match(text)
    }
}

macro_rules! grammar {
    ($(#[$doc:meta])* $name:ident, $length:expr, $pattern:expr) => {
        $(#[$doc])*
        pub static $name: Grammar = Grammar {
            pattern: $pattern,
            length: $length,
            // Every pattern is compiled by the tests below.
            #[allow(clippy::expect_used)]
            compiled: LazyLock::new(|| Regex::new($pattern).expect("a pattern of ours compiles")),
        };
    };
}

grammar!(
    /// DNS-1123 label: namespaces, containers.
    DNS_LABEL, LABEL_LENGTH, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
);
grammar!(
    /// DNS-1035 label: what a Service may be called.
    SERVICE_NAME, LABEL_LENGTH, r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
);
grammar!(
    /// DNS-1123 subdomain: the name of a KafkaTopic and of most other objects.
    SUBDOMAIN, SUBDOMAIN_LENGTH, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
);
grammar!(
    /// A label's key: an optional DNS subdomain and a slash, then a name of up to 63 characters.
    LABEL_KEY, 317, r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
);
grammar!(
    /// A label's value.
    LABEL_VALUE, LABEL_LENGTH, r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
);
grammar!(
    /// A Prometheus metric's name.
    METRIC_NAME, 1024, r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
);
grammar!(
    /// A Prometheus label that a person may set on an alert.
    PROMETHEUS_LABEL, 1024, r"^([a-zA-Z][a-zA-Z0-9_]*|_([a-zA-Z0-9][a-zA-Z0-9_]*)?)$"
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
    /// An HTTP path with what a URL's path and query may hold.
    HTTP_PATH, 1024, r"^/[-A-Za-z0-9._~!$&'()*+,;=:@%/?]*$"
);
grammar!(
    /// An environment variable's name as the API server accepts it: printable, without `=`.
    ENV_NAME, 1024, r"^[ -<>-~]+$"
);
grammar!(
    /// What is printed, without blanks at the ends: a group's id, bootstrap servers.
    PRINTED, 2048, r"^[!-~]([ -~]*[!-~])?$"
);
grammar!(
    /// A container image reference as the distribution project defines it.
    IMAGE, 1024, concat!(
        r"^(([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]*[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]*[a-zA-Z0-9]))*(:[0-9]+)?/)?",
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
        r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?",
        r"(@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$"
    )
);

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(grammar: &Grammar, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(grammar.matches(text), "{grammar:?} takes {text}");
        }
        for text in bad {
            assert!(!grammar.matches(text), "{grammar:?} refuses {text}");
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
        told_apart(&IMAGE, &good, &bad);
    }

    #[test]
    fn durations_are_prometheus_own() {
        told_apart(
            &DURATION,
            &["5s", "1m", "1m30s", "1h", "500ms", "1d12h"],
            &["", "5", "s", "0s", "30s1m", "1.5m", "5 s", "-5s", "1m1m"],
        );
    }

    #[test]
    fn names_that_cannot_name_a_service_are_told_apart() {
        told_apart(
            &SERVICE_NAME,
            &["kconsumer", "a1-b"],
            &["1consumer", "a.b", "a-", "", "A", &"a".repeat(64)],
        );
        told_apart(&SUBDOMAIN, &["my.topic-1"], &["my_topic", "a..b", ""]);
        told_apart(&DNS_LABEL, &["1a"], &["a.b", ""]);
    }

    #[test]
    fn labels_and_metrics_are_held_to_their_own_grammars() {
        told_apart(&METRIC_NAME, &["kafka:lag_max"], &["9lag", "lag max", "", "a{b}"]);
        told_apart(&PROMETHEUS_LABEL, &["team"], &["te:am", "1a", "", "__name__"]);
        told_apart(&LABEL_KEY, &["example.com/team", "release"], &["a/b/c", "", "-x"]);
        told_apart(&LABEL_VALUE, &["", "k8s"], &["-x", "a b"]);
        told_apart(&HTTP_PATH, &["/actuator/prometheus", "/m?x=1"], &["metrics", "/a b", "/\""]);
        told_apart(&ENV_NAME, &["KAFKA_TOPICS", "a.b"], &["", "A=B", "ä"]);
        told_apart(&PRINTED, &["my-cluster-kafka-bootstrap:9092"], &["", " a", "a\nb"]);
    }
}
