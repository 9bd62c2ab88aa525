//! Reads topics, their end offsets, and the groups' committed offsets from a broker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::{Error, Result};

const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The lag of a group in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition's number.
    pub partition: i32,
    /// The offset of the next message to be written.
    pub end: i64,
    /// The group's committed offset; none if it has committed nothing.
    pub committed: Option<i64>,
}

impl PartitionLag {
    /// The number of messages after the committed offset; all messages if nothing is committed.
    pub fn messages(&self) -> i64 {
        (self.end - self.committed.unwrap_or(0)).max(0)
    }
}

/// A consumer group, as the broker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Stable, PreparingRebalance, CompletingRebalance, Empty or Dead.
    pub state: String,
    /// The ids of its members.
    pub members: Vec<String>,
}

/// Sends requests to one broker, without joining a group. The client's requests block, so each runs
/// on its own thread.
#[derive(Clone)]
pub struct KafkaObserver {
    bootstrap_servers: String,
    /// A client for each group. The key of the client without a group is empty.
    clients: Arc<Mutex<BTreeMap<String, Arc<BaseConsumer>>>>,
}

impl fmt::Debug for KafkaObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaObserver")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .finish_non_exhaustive()
    }
}

impl KafkaObserver {
    /// Connects with the first request.
    pub fn new(bootstrap_servers: &str) -> Result<Self> {
        Ok(Self { bootstrap_servers: bootstrap_servers.into(), clients: Arc::default() })
    }

    /// Every topic with its number of partitions, without Kafka's internal topics.
    pub async fn topics(&self) -> Result<BTreeMap<String, i32>> {
        self.request("list the topics", "", |client| {
            let metadata = client.fetch_metadata(None, REQUEST_LIMIT)?;
            let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
            Ok(topics.map(|topic| (topic.name().to_owned(), count(topic.partitions().len()))).collect())
        })
        .await
    }

    /// The end offset of each partition of `topic`.
    pub async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let lags = self.lag(topic, "").await?;
        Ok(lags.into_iter().map(|lag| (lag.partition, lag.end)).collect())
    }

    /// The lag of `group` in each partition of `topic`.
    pub async fn lag(&self, topic: &str, group: &str) -> Result<Vec<PartitionLag>> {
        let (action, topic, has_group) =
            (format!("read the offsets of {topic}"), topic.to_owned(), !group.is_empty());
        self.request(action, group, move |client| {
            let metadata = client.fetch_metadata(Some(&topic), REQUEST_LIMIT)?;
            let Some(found) = metadata.topics().first() else { return Ok(Vec::new()) };
            if let Some(error) = found.error() {
                return Err(KafkaError::MetadataFetch(error.into()));
            }
            let mut partitions = TopicPartitionList::new();
            for partition in found.partitions() {
                partitions.add_partition(&topic, partition.id());
            }
            let committed = if has_group {
                client.committed_offsets(partitions.clone(), REQUEST_LIMIT)?
            } else {
                partitions.clone()
            };
            let mut lags = Vec::new();
            for element in committed.elements() {
                let (_, end) = client.fetch_watermarks(&topic, element.partition(), REQUEST_LIMIT)?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                lags.push(PartitionLag { partition: element.partition(), end, committed });
            }
            lags.sort_by_key(|lag| lag.partition);
            Ok(lags)
        })
        .await
    }

    /// The group's state and members; none if the broker does not know it.
    pub async fn group(&self, group: &str) -> Result<Option<Group>> {
        let name = group.to_owned();
        self.request(format!("read group {group}"), "", move |client| {
            let list = client.fetch_group_list(Some(&name), REQUEST_LIMIT)?;
            let found = list.groups().iter().find(|found| found.name() == name && found.state() != "Dead");
            Ok(found.map(|found| Group {
                state: found.state().to_owned(),
                members: found.members().iter().map(|member| member.id().to_owned()).collect(),
            }))
        })
        .await
    }

    async fn request<T: Send + 'static>(
        &self,
        action: impl Into<String>,
        group: &str,
        request: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let (this, group) = (self.clone(), group.to_owned());
        let answer = tokio::task::spawn_blocking(move || request(&*this.client(&group)?)).await;
        // A panic in a request is a bug here; it is reported like an error of the broker.
        let answer = answer.unwrap_or_else(|panic| Err(KafkaError::ClientCreation(panic.to_string())));
        answer.map_err(Error::client(action))
    }

    fn client(&self, group: &str) -> Result<Arc<BaseConsumer>, KafkaError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(group) {
            return Ok(Arc::clone(client));
        }
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", &self.bootstrap_servers).set("enable.auto.commit", "false");
        // A broker that restarts is reached again soon.
        settings.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        if !group.is_empty() {
            settings.set("group.id", group);
        }
        let client: Arc<BaseConsumer> = Arc::new(settings.create()?);
        clients.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

/// Kafka counts partitions in an i32.
fn count(partitions: usize) -> i32 {
    i32::try_from(partitions).unwrap_or(i32::MAX)
}
