//! What people write into the fields of a group: values that a schema cannot tell from others. With
//! them, a good share of the random groups is admitted.

use kcg_api::alerts::AlertName;
use serde_json::{Value, json};

use crate::pods;
use crate::schema::Maker;

/// The topics that exist, with their partitions, in the groups' namespace and in [`GRANTED`].
pub const TOPICS: [(&str, i64); 4] = [("orders", 12), ("payments", 3), ("audit.v1", 1), ("clicks", 60)];
/// The groups' namespace.
pub const NAMESPACE: &str = "legal";
/// Another namespace, whose topics groups may name.
pub const GRANTED: &str = "legal-topics";

const DURATIONS: [&str; 6] = ["5s", "1m30s", "1h", "500ms", "1d12h", "30s"];
const LABEL_VALUES: [&str; 6] = ["", "k8s", "1.0_x", "A-z", "true", "a.b"];
const PRINTED: [&str; 5] = ["warning", "page now", "\"quoted\"", "{{ $labels.pod }}", "a'b\\c"];
const ANY_TEXT: [&str; 6] = ["", "of the team", "first\nsecond", "\u{fc}ber", "{{ $value }}", "a: b # c"];

fn long(letter: &str, length: usize) -> String {
    letter.repeat(length)
}

/// A value of the field, if one is known.
pub fn value(maker: &mut Maker<'_>, place: &[&str]) -> Option<Value> {
    let name = maker.name.clone();
    let choices: Vec<Value> = match place {
        [.., "podTemplate"] => return Some(pods::template(maker)),
        [.., "podSpec"] => return None,
        ["spec", "minReplicas"] => vec![json!(1), json!(1), json!(2), json!(3)],
        ["spec", "maxReplicas"] => vec![json!(3), json!(12), json!(100), json!(i32::MAX)],
        ["spec", "averageRecordsLagLimit"] => {
            vec![json!(1), json!(1000), json!(123_456_789), json!(i64::MAX)]
        }
        ["spec", "consumerSpec", rest @ ..] => consumer(rest, &name)?,
        ["spec", "alerts", rest @ ..] => alerts(rest)?,
        ["spec", "inheritedMetadata", "annotations", "{}"] => {
            let texts = ANY_TEXT.into_iter().map(|text| json!(text));
            texts.chain([json!(long("x", 4096))]).collect()
        }
        ["spec", "metrics", rest @ ..] => metrics(rest)?,
        ["spec", "scaling", rest @ ..] => scaling(rest, &name)?,
        [.., "labels" | "ruleLabels" | "nodeSelector" | "matchLabels", "{}"] => label_values(),
        _ => return pods::known(maker, place),
    };
    maker.random.choice(choices)
}

/// A key of the map, if one is known.
pub fn key(maker: &mut Maker<'_>, place: &[&str]) -> Option<String> {
    let choices: Vec<String> = match place {
        ["spec", "alerts", "rules"] => AlertName::ALL.map(|alert| alert.as_str().to_owned()).to_vec(),
        ["spec", "alerts", "labels"] => vec!["team".into(), "tier_1".into(), "_a".into(), long("l", 200)],
        [.., "limits" | "requests"] => {
            ["cpu", "memory", "ephemeral-storage", "example.com/gpu"].map(str::to_owned).to_vec()
        }
        [.., "labels" | "ruleLabels" | "annotations" | "nodeSelector" | "matchLabels"] => vec![
            "team".into(),
            "example.com/owner".into(),
            "release".into(),
            "a.b-c_d".into(),
            long("k", 63),
            format!("{}.example/{}", long("d", 60), long("K", 63)),
        ],
        _ => return None,
    };
    maker.random.choice(choices)
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| json!(text)).collect()
}

fn label_values() -> Vec<Value> {
    LABEL_VALUES.into_iter().map(|value| json!(value)).chain([json!(long("v", 63))]).collect()
}

/// Of spec.consumerSpec.
fn consumer(place: &[&str], name: &str) -> Option<Vec<Value>> {
    let digest = format!("ghcr.io/a/b@sha256:{}", long("a", 64));
    Some(match place {
        ["image"] => texts(&[
            "thenextapps/kconsumer:latest",
            "registry.example.com:5000/team/app_x:1.0-rc.1",
            "nginx",
            "localhost/app",
            &digest,
        ]),
        ["topic"] | ["topics", "[]"] => TOPICS.map(|(topic, _)| json!(topic)).to_vec(),
        ["topicNamespace"] => texts(&[NAMESPACE, GRANTED]),
        ["containerName"] => texts(&[name, "consumer", "1a"]),
        ["groupId"] => {
            let mine = format!("group of {name}");
            texts(&[name, &mine, "shared", "a.b_c:d/e"]).into_iter().chain([json!(long("g", 249))]).collect()
        }
        ["bootstrapServers"] => texts(&["my-cluster-kafka-bootstrap:9092", "b-1:9092,b-2:9092", "$(A):1"]),
        ["readiness"] => texts(&["Preset", "None", "/ready", "/a?b=c", "/"]),
        ["partitionsPerConsumer"] => vec![json!(1), json!(2), json!(7), json!(i32::MAX)],
        ["env", "[]"] => pods::environment(name),
        ["envFrom", "[]"] => vec![
            json!({"configMapRef": {"name": "settings"}}),
            json!({"prefix": "X_", "secretRef": {"name": "s.1", "optional": true}}),
        ],
        ["imagePullSecrets", "[]"] => vec![json!({"name": "regcred"}), json!({"name": "other.1"})],
        ["resources"] => pods::resources(),
        _ => return None,
    })
}

/// Of spec.alerts.
fn alerts(place: &[&str]) -> Option<Vec<Value>> {
    Some(match place {
        ["for"] | ["rules", "{}", "for"] => texts(&DURATIONS),
        ["severity"] | ["rules", "{}", "severity"] => texts(&PRINTED),
        ["labels", "{}"] => texts(&ANY_TEXT),
        ["ruleLabels", "{}"] => label_values(),
        ["rules", "{}", "threshold"] => vec![json!(0), json!(1), json!(1000), json!(i64::MAX)],
        _ => return None,
    })
}

/// Of spec.metrics.
fn metrics(place: &[&str]) -> Option<Vec<Value>> {
    Some(match place {
        ["port"] => vec![json!(1), json!(8085), json!(9090), json!(65535)],
        [.., "interval"] => texts(&["5s", "15s", "1m", "1m30s"]),
        [.., "scrapeTimeout"] => texts(&["1s", "5s", "4500ms"]),
        [.., "path"] => texts(&["/metrics", "/", "/actuator/prometheus", "/a/b;c=1,2"]),
        ["lagMetric"] => texts(&["kafka:lag_max", "my_lag"]),
        ["bodySizeLimit"] => texts(&["16MB", "512KB", "1MiB"]),
        ["sampleLimit"] => vec![json!(1000), json!(50000)],
        ["labelLimit"] => vec![json!(30), json!(64)],
        ["labels", "{}"] => label_values(),
        [.., "metricRelabelings" | "relabelings", "[]"] => vec![
            json!({"action": "drop", "sourceLabels": ["le"], "regex": "0\\.[0-9]+"}),
            json!({"action": "labeldrop", "regex": "client_id"}),
            json!({"targetLabel": "team", "replacement": "orders"}),
            json!({"action": "hashmod", "sourceLabels": ["a", "b"], "targetLabel": "shard", "modulus": 8}),
            json!({"action": "LabelMap", "regex": "__meta_kubernetes_pod_label_(.+)", "replacement": "pod_$1"}),
            json!({"action": "lowercase", "sourceLabels": ["tier"], "targetLabel": "tier"}),
            json!({"sourceLabels": ["x"], "separator": "-", "regex": "(a|b).*", "targetLabel": "y", "replacement": "$1"}),
        ],
        [.., "basicAuth"] => vec![
            json!({"username": {"name": "auth", "key": "user"}, "password": {"name": "auth", "key": "pass"}}),
        ],
        [.., "authorization"] => vec![
            json!({"type": "Token", "credentials": {"name": "auth", "key": "token"}}),
            json!({"credentials": {"name": "auth", "key": "token", "optional": false}}),
        ],
        [.., "tlsConfig"] => vec![
            json!({"insecureSkipVerify": true, "minVersion": "TLS12", "maxVersion": "TLS13"}),
            json!({"serverName": "kafka.example.com", "ca": {"secret": {"name": "ca", "key": "ca.crt"}}}),
            json!({"ca": {"configMap": {"name": "ca", "key": "ca.crt"}}, "cert": {"secret": {"name": "c", "key": "tls.crt"}}, "keySecret": {"name": "c", "key": "tls.key"}}),
        ],
        _ => return None,
    })
}

/// Of spec.scaling.
fn scaling(place: &[&str], name: &str) -> Option<Vec<Value>> {
    let resource =
        |kind: &str, target: Value| json!({"type": "Resource", "resource": {"name": kind, "target": target}});
    Some(match place {
        ["behavior", _, "policies", "[]"] => vec![
            json!({"type": "Pods", "value": 1, "periodSeconds": 60}),
            json!({"type": "Percent", "value": 50, "periodSeconds": 1800}),
            json!({"type": "Pods", "value": i32::MAX, "periodSeconds": 1}),
        ],
        ["behavior", _, "tolerance"] => texts(&["0.1", "50m", "0", "1e-3", "100u"]),
        ["strategy"] => vec![
            json!({"type": "Recreate"}),
            json!({"type": "RollingUpdate"}),
            json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "300%", "maxUnavailable": 0}}),
        ],
        ["metrics", "[]"] => vec![
            resource("memory", json!({"type": "AverageValue", "averageValue": "1Gi"})),
            resource("cpu", json!({"type": "AverageValue", "averageValue": "1500m"})),
            resource("cpu", json!({"type": "Utilization", "averageUtilization": 60})),
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": name, "target": {"type": "AverageValue", "averageValue": "0.5"}}}),
            json!({"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "2e3"}}}),
            json!({"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}, "target": {"type": "AverageValue", "averageValue": 10}}}),
            json!({"type": "Pods", "pods": {"metric": {"name": "busy"}, "target": {"type": "AverageValue", "averageValue": "900m"}}}),
        ],
        _ => return None,
    })
}
