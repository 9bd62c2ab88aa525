//! The groups and topics of a measurement: groups of one topic each, with 1 kB of spec.

use std::collections::BTreeSet;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::kinds::{GROUP, Kind, NAMESPACE, TOPIC, post};

/// How many groups a namespace has.
const PER_NAMESPACE: usize = 100;
/// How many objects are created at the same time.
const WRITERS: usize = 16;
/// The partitions of each new topic.
pub const PARTITIONS: i64 = 3;

/// Some groups, in namespaces of their own.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The beginning of the names.
    prefix: &'static str,
    /// How many groups with this prefix there are already.
    first: usize,
    /// How many there will be.
    pub last: usize,
}

/// A group that was created.
#[derive(Clone, Debug)]
pub struct Created {
    pub index: usize,
    pub uid: String,
    /// Its resourceVersion then.
    pub version: String,
}

impl Workload {
    pub const fn new(prefix: &'static str, count: usize) -> Self {
        Self { prefix, first: 0, last: count }
    }

    /// More groups with the same prefix, `last` in all.
    pub fn grown_to(self, last: usize) -> Self {
        Self { first: self.last, last, ..self }
    }

    /// How many groups it has.
    pub fn count(&self) -> usize {
        self.last - self.first
    }

    fn indices(&self) -> std::ops::Range<usize> {
        self.first..self.last
    }

    /// The namespace of a group.
    pub fn namespace(&self, index: usize) -> String {
        format!("ns-{}-{:03}", self.prefix, index / PER_NAMESPACE)
    }

    /// Whether a namespace is one of its own.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        namespace.strip_prefix("ns-").is_some_and(|rest| rest.starts_with(self.prefix))
    }

    /// The name of a group, of its topic and of its consumer group; no other workload has one of that name.
    pub fn name(&self, index: usize) -> String {
        format!("{}-{index:05}", self.prefix)
    }

    /// The path of an object of one of the groups.
    pub fn path(&self, kind: Kind, index: usize) -> String {
        format!("{}/{}", kind.in_namespace(&self.namespace(index)), self.name(index))
    }

    /// Creates the namespaces and the topics.
    pub async fn create_topics(&self, client: &Client) -> Result<()> {
        let namespaces: BTreeSet<String> = self.indices().map(|index| self.namespace(index)).collect();
        let namespaces = namespaces.into_iter().map(|name| async move {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            match client.request::<Value>(post(&NAMESPACE.all(), &object)).await {
                // The one of the last groups before.
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                created => created.map(drop),
            }
        });
        stream::iter(namespaces).buffer_unordered(WRITERS).try_collect::<Vec<_>>().await?;
        let topics = self.indices().map(|index| {
            let object = json!({
                "apiVersion": TOPIC.api_version(),
                "kind": TOPIC.name,
                "metadata": {"name": self.name(index), "labels": {"strimzi.io/cluster": "my-cluster"}},
                "spec": {"partitions": PARTITIONS, "replicas": 1},
            });
            create(client, TOPIC.in_namespace(&self.namespace(index)), object)
        });
        stream::iter(topics).buffer_unordered(WRITERS).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Creates the groups, and passes each on as soon as it exists.
    pub async fn create_groups(
        &self,
        client: &Client,
        created: Option<&UnboundedSender<Created>>,
    ) -> Result<()> {
        let groups = self.indices().map(|index| async move {
            let path = GROUP.in_namespace(&self.namespace(index));
            let object = create(client, path, group(&self.name(index))).await?;
            if let Some(created) = created {
                let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
                let (uid, version) = (field("uid"), field("resourceVersion"));
                // The other end is gone only if the measurement has failed.
                let _ = created.send(Created { index, uid, version });
            }
            anyhow::Ok(())
        });
        stream::iter(groups).buffer_unordered(WRITERS).try_collect::<Vec<()>>().await?;
        Ok(())
    }
}

async fn create(client: &Client, path: String, object: Value) -> Result<Value> {
    Ok(client.request(post(&path, &object)).await?)
}

/// A group as the webhook would have completed it.
pub fn group(name: &str) -> Value {
    let variable = |index: usize| json!({"name": format!("CONSUMER_SETTING_{index}"), "value": format!("value-{index}")});
    json!({
        "apiVersion": GROUP.api_version(),
        "kind": GROUP.name,
        "metadata": {"name": name},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 1000,
            "averageRecordsLagLimit": 1000,
            "consumerSpec": {
                "image": "registry.example.com/team/consumer:1.4.2",
                "imagePullPolicy": "IfNotPresent",
                "containerName": name,
                "groupId": name,
                "topic": name,
                "bootstrapServers": "my-cluster-kafka-bootstrap.kafka.svc:9092",
                "env": (0..10).map(variable).collect::<Vec<_>>(),
                "resources": {
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                    "limits": {"memory": "256Mi"},
                },
            },
            "inheritedMetadata": {"labels": {"example.com/team": "orders", "example.com/cost-center": "4711"}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_has_about_a_kilobyte() {
        let bytes = group(&Workload::new("bench", 8).name(7))["spec"].to_string().len();
        assert!((900..1100).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_namespace_has_a_hundred_groups() {
        let workload = Workload::new("bench", 1000);
        assert_eq!([99, 100].map(|index| workload.namespace(index)), ["ns-bench-000", "ns-bench-001"]);
        let more = workload.grown_to(1050);
        assert_eq!((more.count(), more.indices()), (50, 1000..1050));
    }
}
