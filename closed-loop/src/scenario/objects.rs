//! The topics, groups and producers of the scenarios with several groups. All groups have one
//! shape, so that only what is compared differs.

use serde_json::{Value, json};

use crate::consumer::Consumer;
use crate::settings::Settings;

/// A topic with this many partitions.
pub(super) fn topic(name: &str, partitions: u32) -> Value {
    json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": "my-cluster"}},
        "spec": {"partitions": partitions, "replicas": 1},
    })
}

/// A group that consumes these topics. `scaling` is spec.scaling; an empty one means the operator's
/// defaults. A consumer (the one in Rust) takes some seconds until it is ready, as most do. The broker notices a
/// killed one after six.
pub(super) fn group(
    consumer: Consumer,
    name: &str,
    topics: &[String],
    limit: u64,
    scaling: &Value,
    settings: &Settings,
) -> Value {
    let (interval, hold) = if settings.realistic { ("5s", "1m") } else { ("1s", "5s") };
    let env: Vec<Value> =
        consumer.env().iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut metrics = consumer.metrics();
    metrics["interval"] = json!(interval);
    // The default. A group that does not state it is warned.
    metrics["lagStatistic"] = json!("Sum");
    json!({
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
        "metadata": {"name": name},
        "spec": {
            "minReplicas": 1,
            "averageRecordsLagLimit": limit,
            "consumerSpec": {
                "image": format!("{}:latest", consumer.image()),
                "topics": topics,
                "bootstrapServers": "10.244.0.1:9092",
                "env": env,
                "podTemplate": {"spec": {"containers": [{
                    "name": name,
                    "readinessProbe": {
                        "httpGet": {"path": "/readyz", "port": "metrics"},
                        "initialDelaySeconds": 3, "periodSeconds": 1,
                    },
                }]}},
            },
            "metrics": metrics,
            "alerts": {"for": hold},
            "scaling": scaling,
        },
    })
}

/// A pod that sends `records` records and the end marker to each topic, then ends.
pub(super) fn producer(name: &str, topics: &[String], records: u64, keys: &str) -> Value {
    let mut args = vec!["send".to_owned(), records.to_string(), format!("--keys={keys}")];
    args.extend(topics.iter().map(|topic| format!("--topic={topic}")));
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "kproducer", "image": "thenextapps/kproducer:latest", "args": args,
                "env": [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "10.244.0.1:9092"}],
            }],
        },
    })
}

/// Several objects as one manifest.
pub(super) fn manifest(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}
