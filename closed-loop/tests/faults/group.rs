//! A group with a topic of its own, which has its name.

use serde_json::{Value, json};

/// The port of the consumers' metrics and health.
const PORT: u16 = 8085;

/// Where the broker is.
const KAFKA: &str = "10.244.0.1:9092";

/// What differs from fault to fault.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its name and its topic's.
    pub name: &'static str,
    /// How many partitions its topic has.
    pub partitions: i32,
    /// The fewest consumers.
    pub min: i32,
    /// The average lag that it may have, in records.
    pub limit: i32,
    /// Where its consumers look for Kafka.
    pub bootstrap_servers: &'static str,
    /// The consumers' own variables.
    pub env: &'static [(&'static str, &'static str)],
}

impl Group {
    /// One consumer on one partition, that is never behind.
    pub const fn idle(name: &'static str) -> Self {
        Self { name, partitions: 1, min: 1, limit: 1000, bootstrap_servers: KAFKA, env: &[] }
    }

    pub fn topic(&self) -> Value {
        json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
            "metadata": {
                "name": self.name, "namespace": "default", "labels": {"strimzi.io/cluster": "my-cluster"},
            },
            "spec": {"partitions": self.partitions, "replicas": 1},
        })
    }

    /// With windows of seconds. `metrics` is laid over spec.metrics.
    pub fn resource(&self, metrics: &[(&str, Value)]) -> Value {
        let env: Vec<_> =
            self.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut group = json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": {
                "minReplicas": self.min,
                "averageRecordsLagLimit": self.limit,
                "metrics": {"interval": "1s"},
                "alerts": {"for": "3s"},
                "scaling": {"behavior": {"scaleDown": {
                    "stabilizationWindowSeconds": 5,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}],
                }}},
                "consumerSpec": {
                    "image": "thenextapps/kconsumer:latest",
                    "topic": self.name,
                    "bootstrapServers": self.bootstrap_servers,
                    "env": env,
                    "podTemplate": {"spec": {"containers": [{
                        "name": self.name,
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 1},
                    }]}},
                },
            },
        });
        for (field, value) in metrics {
            group["spec"]["metrics"][field] = value.clone();
        }
        group
    }
}

/// A pod that sends so many records and the end marker to a topic; `how` is kproducer's further flags.
pub fn producer(topic: &str, records: u64, how: &[&str]) -> Value {
    let count = records.to_string();
    let args = [&["send", &count, "--topic", topic], how].concat();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": sender(topic), "namespace": "default"},
        "spec": {"restartPolicy": "Never", "containers": [{
            "name": "kproducer", "image": "thenextapps/kproducer:latest",
            "args": args,
            "env": [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": KAFKA}],
        }]},
    })
}

/// What the pod that sends to a topic is called.
pub fn sender(topic: &str) -> String {
    format!("sends-to-{topic}")
}
