//! A group with its own topic of the same name.

use kcg_closed_loop::Consumer;
use serde_json::{Value, json};

/// The port on which the consumer serves its metrics and health, whatever spec.metrics.port says.
const PORT: u16 = 8085;

/// The broker's address.
const KAFKA: &str = "10.244.0.1:9092";

/// The settings that differ between tests.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The name of the group and of its topic.
    pub name: &'static str,
    /// The number of the topic's partitions.
    pub partitions: i32,
    /// Its minReplicas.
    pub min: i32,
    /// Its averageRecordsLagLimit.
    pub limit: i32,
    /// The bootstrap servers of its consumers.
    pub bootstrap_servers: &'static str,
    /// The program of its consumers.
    pub consumer: Consumer,
    /// Environment variables of its consumers.
    pub env: &'static [(&'static str, &'static str)],
}

impl Group {
    /// One consumer on one partition, without lag.
    pub const fn idle(name: &'static str) -> Self {
        Self {
            name,
            partitions: 1,
            min: 1,
            limit: 1000,
            bootstrap_servers: KAFKA,
            consumer: Consumer::Rust,
            env: &[],
        }
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

    /// The KconsumerGroup, with windows of seconds. `metrics` overrides fields of spec.metrics.
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
                "scaling": {"minReadySeconds": 0, "behavior": {"scaleDown": {
                    "stabilizationWindowSeconds": 5,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}],
                }}},
                "consumerSpec": {
                    "image": format!("{}:latest", self.consumer.image()),
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

/// A pod that sends this many records and the end marker to a topic; `flags` are further flags of
/// kproducer.
pub fn producer(topic: &str, records: u64, flags: &[&str]) -> Value {
    let count = records.to_string();
    let args = [&["send", &count, "--topic", topic], flags].concat();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": sender(topic), "namespace": "default"},
        "spec": {"restartPolicy": "Never", "containers": [{
            "name": "kproducer", "image": "thenextapps/kproducer:latest",
            "args": args,
            "env": [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": KAFKA}],
        }]},
    })
}

/// The name of the pod that sends to a topic.
pub fn sender(topic: &str) -> String {
    format!("sends-to-{topic}")
}
