use serde_json::{Value, json};

use super::*;
use crate::rule_input::TopicGrants;

fn spec(metrics: &Value) -> KconsumerGroupSpec {
    serde_json::from_value(json!({"metrics": metrics})).expect("the types")
}

fn violations(metrics: &Value) -> Vec<String> {
    let (spec, grants) = (spec(metrics), TopicGrants::Own);
    let mut violations = Vec::new();
    let input = RuleInput::new(None, "default", &spec, &grants);
    endpoints_are_well_formed(&input, &mut violations);
    timeouts_are_within_intervals(&input, &mut violations);
    violations.iter().map(ToString::to_string).collect()
}

/// The violations of an endpoint that is scraped every 30 s, without its path.
fn of_endpoint(endpoint: &Value) -> Vec<String> {
    let found = violations(&json!({"interval": "30s", "endpoint": endpoint}));
    found
        .into_iter()
        .map(|violation| violation.strip_prefix("spec.metrics.endpoint.").expect("its path").to_owned())
        .collect()
}

fn of_relabeling(list: &str, relabeling: &Value) -> Vec<String> {
    let found = of_endpoint(&json!({list: [relabeling]}));
    let prefix = format!("{list}[0].");
    found.into_iter().map(|violation| violation.strip_prefix(&prefix).expect("its path").to_owned()).collect()
}

#[test]
fn an_endpoint_of_every_field_is_valid() {
    let secret = |key: &str| json!({"name": "scrape", "key": key});
    let endpoint = json!({
        "scheme": "https",
        "tlsConfig": {"ca": {"configMap": secret("ca.crt")}, "cert": {"secret": secret("tls.crt")}, "keySecret": secret("tls.key"),
            "serverName": "orders.shop.svc", "insecureSkipVerify": false, "minVersion": "TLS12", "maxVersion": "TLS13"},
        "authorization": {"credentials": secret("token")},
        "scrapeTimeout": "20s",
        "relabelings": [
            {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"},
            {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(team_.+)"},
            {"action": "Drop", "sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": "Pending"},
        ],
        "metricRelabelings": [
            {"action": "labeldrop", "regex": "client_id|spring_id"},
            {"action": "drop", "sourceLabels": ["__name__"], "regex": "jvm_.+"},
            {"action": "keep", "sourceLabels": ["__name__"], "regex": "(kafka|up).*"},
            {"sourceLabels": ["topic"], "regex": "(.+)[.](.+)", "targetLabel": "domain_$1", "replacement": ""},
            {"action": "hashmod", "sourceLabels": ["topic"], "targetLabel": "shard", "modulus": 3},
        ],
    });
    assert_eq!(of_endpoint(&endpoint), [""; 0]);
}

#[test]
fn credentials_and_tls_are_those_that_prometheus_operator_accepts() {
    let key = json!({"name": "scrape", "key": "k"});
    for (endpoint, want) in [
        (json!({"scheme": "ftp"}), r#"scheme: Unsupported value: "ftp": supported values: "http", "https""#),
        (
            json!({"basicAuth": {"username": key, "password": key}, "authorization": {"credentials": key}}),
            "basicAuth: Forbidden: must not be set together with authorization",
        ),
        (json!({"basicAuth": {"username": key}}), "basicAuth.password: Required value"),
        (
            json!({"authorization": {"type": "basic", "credentials": key}}),
            r#"authorization.type: Invalid value: "basic": must not be Basic: set basicAuth"#,
        ),
        (json!({"authorization": {}}), "authorization.credentials: Required value"),
        (
            json!({"authorization": {"credentials": {"name": "A b", "key": "k"}}}),
            "authorization.credentials.name: Invalid value: \"A b\": must be the name of an object",
        ),
        (
            json!({"tlsConfig": {"keySecret": {"name": "scrape"}, "cert": {"secret": key}}}),
            "tlsConfig.keySecret.key: Required value",
        ),
        (
            json!({"tlsConfig": {"ca": {"secret": key, "configMap": key}}}),
            "tlsConfig.ca.configMap: Forbidden: cannot specify both Secret and ConfigMap",
        ),
        (
            json!({"tlsConfig": {"cert": {"secret": key}}}),
            "tlsConfig.keySecret: Required value: client cert specified without client key",
        ),
        (
            json!({"tlsConfig": {"keySecret": key, "cert": {}}}),
            "tlsConfig.cert: Required value: client key specified without client cert",
        ),
        (
            json!({"tlsConfig": {"minVersion": "TLS13", "maxVersion": "TLS12"}}),
            r#"tlsConfig.maxVersion: Invalid value: "TLS12": must not be less than minVersion"#,
        ),
        (json!({"tlsConfig": {"minVersion": "1.2"}}), "tlsConfig.minVersion: Unsupported value: \"1.2\""),
        (json!({"tlsConfig": {"serverName": "$(HOME)"}}), "tlsConfig.serverName: Invalid value"),
        (
            json!({"scrapeTimeout": "31s"}),
            r#"scrapeTimeout: Invalid value: "31s": must not be more than the interval, which is 30s"#,
        ),
        (json!({"scrapeTimeout": "soon"}), "scrapeTimeout: Invalid value: \"soon\": must be a Prometheus"),
    ] {
        let found = of_endpoint(&endpoint);
        assert!(found.len() == 1 && found[0].starts_with(want), "{endpoint}: {found:?}");
    }
}

#[test]
fn relabelings_are_those_that_prometheus_operator_accepts() {
    for (relabeling, want) in [
        (json!({"action": "rename", "targetLabel": "a"}), r#"action: Unsupported value: "rename""#),
        (json!({}), "targetLabel: Required value: action replace needs it"),
        (json!({"targetLabel": "a-b"}), r#"targetLabel: Invalid value: "a-b": must be a Prometheus label"#),
        (json!({"targetLabel": "a", "sourceLabels": ["1"]}), r#"sourceLabels[0]: Invalid value: "1""#),
        (
            json!({"targetLabel": "a", "regex": "(a"}),
            r#"regex: Invalid value: "(a": must be a regular expression in RE2's syntax: unclosed group"#,
        ),
        (
            json!({"targetLabel": "a", "regex": "a".repeat(1025)}),
            "regex: Too long: must be at most 1024 bytes",
        ),
        (
            json!({"targetLabel": "a", "replacement": "$(TOKEN)"}),
            "replacement: Invalid value: \"$(TOKEN)\": must not contain $(: prometheus-operator",
        ),
        (
            json!({"action": "hashmod", "targetLabel": "a"}),
            "modulus: Required value: action hashmod needs a modulus",
        ),
        (
            json!({"action": "labelmap", "regex": "(a.+)", "replacement": "x-$1"}),
            "replacement: Invalid value: \"x-$1\": must be a Prometheus label",
        ),
        (
            json!({"action": "LabelDrop", "regex": "a", "sourceLabels": ["b"]}),
            "sourceLabels: Forbidden: action labeldrop does not use it",
        ),
        (
            json!({"action": "keepequal", "sourceLabels": ["a"], "targetLabel": "b", "regex": "c"}),
            "regex: Forbidden: action keepequal does not use it",
        ),
        (
            json!({"action": "lowercase", "sourceLabels": ["a"], "targetLabel": "b", "replacement": "c"}),
            "replacement: Forbidden: action lowercase does not use it",
        ),
    ] {
        for list in ["relabelings", "metricRelabelings"] {
            let found = of_relabeling(list, &relabeling);
            assert!(found.len() == 1 && found[0].starts_with(want), "{relabeling}: {found:?}");
        }
    }
}

#[test]
fn no_relabeling_writes_or_removes_a_label_that_the_series_are_found_by() {
    const TARGET: &str = "relabelings";
    const SERIES: &str = "metricRelabelings";
    for (list, relabeling, want) in [
        (
            TARGET,
            json!({"targetLabel": "namespace", "replacement": "other"}),
            "targetLabel: Forbidden: must not write namespace,",
        ),
        (
            SERIES,
            json!({"targetLabel": "pod", "sourceLabels": ["client_id"]}),
            "targetLabel: Forbidden: must not write pod,",
        ),
        // Prometheus would send its request anywhere.
        (
            TARGET,
            json!({"targetLabel": "__address__", "replacement": "10.0.0.1:80"}),
            "targetLabel: Forbidden: must not write __address__,",
        ),
        (
            TARGET,
            json!({"targetLabel": "__scrape_interval__", "replacement": "1ms"}),
            "targetLabel: Forbidden: must not write",
        ),
        (
            SERIES,
            json!({"targetLabel": "__name__", "replacement": "a"}),
            "targetLabel: Forbidden: must not write __name__,",
        ),
        (
            SERIES,
            json!({"action": "uppercase", "sourceLabels": ["topic"], "targetLabel": "topic"}),
            "targetLabel: Forbidden: must not write topic,",
        ),
        // The name of the label comes from a value.
        (
            TARGET,
            json!({"sourceLabels": ["a"], "targetLabel": "${1}"}),
            "targetLabel: Forbidden: must not write namespace, service, pod,",
        ),
        (
            TARGET,
            json!({"sourceLabels": ["a"], "regex": "(.+)", "targetLabel": "name$1"}),
            "targetLabel: Forbidden: must not write namespace,",
        ),
        (
            TARGET,
            json!({"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"}),
            "replacement: Forbidden: must not write namespace, service",
        ),
        (
            SERIES,
            json!({"action": "labeldrop", "regex": "client_id|topic"}),
            "regex: Forbidden: must not remove topic,",
        ),
        (
            SERIES,
            json!({"action": "labeldrop", "regex": "p.*"}),
            "regex: Forbidden: must not remove pod, partition,",
        ),
        (
            TARGET,
            json!({"action": "labelkeep", "regex": "pod|namespace"}),
            "regex: Forbidden: must not remove service, container, endpoint, job, __address__",
        ),
        (
            SERIES,
            json!({"action": "drop", "sourceLabels": ["__name__"], "regex": "kafka_.+"}),
            "regex: Forbidden: must not drop kafka_consumer_fetch_manager_records_lag, kafka",
        ),
        (
            SERIES,
            json!({"action": "keep", "sourceLabels": ["__name__"], "regex": "kafka_.*lag"}),
            "regex: Forbidden: must not drop kafka_consumer_coordinator_assigned_partitions,",
        ),
    ] {
        let found = of_relabeling(list, &relabeling);
        assert!(found.len() == 1 && found[0].starts_with(want), "{relabeling}: {found:?}");
    }
    for (list, relabeling) in [
        (TARGET, json!({"targetLabel": "topic", "replacement": "a"})),
        (TARGET, json!({"targetLabel": "instance", "sourceLabels": ["__meta_kubernetes_pod_name"]})),
        (
            TARGET,
            json!({"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)", "replacement": "label_$1"}),
        ),
        (SERIES, json!({"sourceLabels": ["topic"], "targetLabel": "topic_group"})),
        (SERIES, json!({"action": "dropequal", "sourceLabels": ["topic"], "targetLabel": "pod"})),
        (SERIES, json!({"action": "drop", "sourceLabels": ["__name__", "client_id"], "regex": ".*"})),
    ] {
        assert_eq!(of_relabeling(list, &relabeling), [""; 0], "{relabeling}");
    }
}

#[test]
fn the_metric_of_a_group_s_own_is_kept_and_another_endpoint_may_drop_it() {
    let keep = json!([{"action": "keep", "sourceLabels": ["__name__"], "regex": "my_lag"}]);
    let metrics = json!({"lagMetric": "my_lag", "endpoint": {"metricRelabelings": keep}});
    assert_eq!(violations(&metrics), [""; 0]);
    assert_eq!(violations(&json!({"endpoint": {"metricRelabelings": keep}})).len(), 1);
    let additional = json!([{"port": 9404, "metricRelabelings": keep}]);
    assert_eq!(violations(&json!({"additionalEndpoints": additional})), [""; 0]);
}

#[test]
fn additional_endpoints_have_ports_of_their_own() {
    let valid = json!([{"port": 9404}, {"port": 15020, "path": "/stats/prometheus", "interval": "1m", "scrapeTimeout": "50s", "scheme": "https"}]);
    assert_eq!(violations(&json!({"additionalEndpoints": valid})), [""; 0]);
    for (endpoints, want) in [
        (json!([{"port": 8085}]), "[0].port: Duplicate value: 8085"),
        (json!([{"port": 9404}, {"port": 9404}]), "[1].port: Duplicate value: 9404"),
        (json!([{"path": "/metrics"}]), "[0].port: Invalid value: 0: must be a port between 1 and 65535"),
        (json!([{"port": 9404, "path": "metrics"}]), "[0].path: Invalid value"),
        (
            json!([{"port": 9404, "path": "/metrics?a=b"}]),
            "[0].path: Invalid value: \"/metrics?a=b\": must not contain a question",
        ),
        (json!([{"port": 9404, "path": "/$(HOME)"}]), "[0].path: Invalid value"),
        (json!([{"port": 9404, "interval": "soon"}]), "[0].interval: Invalid value: \"soon\""),
        (
            json!([{"port": 9404, "scrapeTimeout": "6s"}]),
            "[0].scrapeTimeout: Invalid value: \"6s\": must not be more than the interval, which is 5s",
        ),
        (
            json!([{"port": 9404, "relabelings": [{"targetLabel": "pod"}]}]),
            "[0].relabelings[0].targetLabel: Forbidden",
        ),
        (
            json!([1, 2, 3, 4, 5, 6].map(|port| json!({"port": port}))),
            ": Too many: 6: must have at most 5 items",
        ),
    ] {
        let found = violations(&json!({"additionalEndpoints": endpoints}));
        let want = format!("spec.metrics.additionalEndpoints{want}");
        assert!(found.len() == 1 && found[0].starts_with(&want), "{endpoints}: {found:?}");
    }
}

#[test]
fn the_bounds_on_lists_are_refused_by_name() {
    let relabelings = vec![json!({"targetLabel": "a"}); MAX_RELABELINGS + 1];
    assert_eq!(
        of_endpoint(&json!({"relabelings": relabelings})),
        ["relabelings: Too many: 31: must have at most 30 items"]
    );
    let labels = vec!["a"; MAX_SOURCE_LABELS + 1];
    assert_eq!(
        of_relabeling("metricRelabelings", &json!({"targetLabel": "a", "sourceLabels": labels})),
        ["sourceLabels: Too many: 21: must have at most 20 items"]
    );
}

#[test]
fn what_is_valid_and_probably_not_meant_is_warned_about() {
    let drop = json!([{"action": "labeldrop", "regex": "client_id"}]);
    let found = warnings(&spec(&json!({
        "endpoint": {"tlsConfig": {"insecureSkipVerify": true}},
        "additionalEndpoints": [{"port": 9404, "scheme": "https", "tlsConfig": {}, "metricRelabelings": drop}],
    })));
    assert_eq!(
        found,
        [
            "metrics.endpoint.tlsConfig has no effect: scheme is not https",
            "metrics.additionalEndpoints[0] removes client_id: if a pod has several clients, their series become one",
        ]
    );
    assert!(found.iter().all(|warning| warning.len() <= 120));
    assert_eq!(warnings(&spec(&json!({}))), [""; 0]);
}
