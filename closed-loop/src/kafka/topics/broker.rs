//! The requests that read, create, change and delete topics in Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::contract::{ActualTopic, DesiredTopic, Rejection};
use crate::kafka::{Kafka, TopicIds};
use crate::{Error, Result};

const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// The limit for the broker to serve a new topic.
const CREATE_LIMIT: Duration = Duration::from_secs(10);

/// The administrator's client.
#[derive(Clone)]
pub(super) struct Broker {
    client: Arc<AdminClient<DefaultClientContext>>,
    ids: TopicIds,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broker")
    }
}

impl Broker {
    pub(super) fn new(kafka: &Kafka) -> Result<Self> {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", kafka.bootstrap_servers());
        settings.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        let client = settings.create().map_err(Error::client("create an administrator's client"))?;
        Ok(Self { client: Arc::new(client), ids: kafka.topic_ids() })
    }

    /// The existing topics of these names.
    pub(super) async fn topics(
        &self,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, ActualTopic>, Rejection> {
        let mut topics = BTreeMap::new();
        if names.is_empty() {
            return Ok(topics);
        }
        let client = Arc::clone(&self.client);
        let counted = tokio::task::spawn_blocking(move || counts(&client, &names)).await;
        let counted = counted.map_err(|panic| Rejection::kafka(panic.to_string()))??;
        for (name, [partitions, replicas]) in counted {
            let config = self.config(&name).await?;
            topics.insert(name, ActualTopic { partitions, replicas, config });
        }
        Ok(topics)
    }

    async fn config(&self, topic: &str) -> Result<BTreeMap<String, String>, Rejection> {
        let described = self.client.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await;
        let mut config = BTreeMap::new();
        for resource in described? {
            let own = resource?.entries.into_iter();
            let own = own.filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
            config.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(config)
    }

    pub(super) async fn create(&self, desired: &DesiredTopic) -> Result<(), Rejection> {
        let mut topic =
            NewTopic::new(&desired.name, desired.partitions, TopicReplication::Fixed(desired.replicas));
        for (key, value) in &desired.config {
            topic = topic.set(key, value);
        }
        check(self.client.create_topics([&topic], &options()).await?)?;
        // Once the broker serves the new topic, the folder of an old topic with this name, and so
        // its id, is gone.
        let served = async {
            while !self.topics(vec![desired.name.clone()]).await?.contains_key(&desired.name) {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        let late = |_| Err(Rejection::kafka("the new topic is not served yet"));
        tokio::time::timeout(CREATE_LIMIT, served).await.unwrap_or_else(late)
    }

    /// Kafka's id of an existing topic.
    pub(super) async fn id(&self, topic: &str) -> Result<String, Rejection> {
        let known = async {
            loop {
                match self.ids.of(topic) {
                    Some(id) => return id,
                    None => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        let late = |_| Rejection::kafka("the broker has not written the topic's id yet");
        tokio::time::timeout(CREATE_LIMIT, known).await.map_err(late)
    }

    pub(super) async fn grow(&self, desired: &DesiredTopic) -> Result<(), Rejection> {
        let count =
            usize::try_from(desired.partitions).map_err(|error| Rejection::kafka(error.to_string()))?;
        check(self.client.create_partitions([&NewPartitions::new(&desired.name, count)], &options()).await?)
    }

    /// Sets the topic's whole config. Keys that are not named return to the broker's default.
    pub(super) async fn configure(&self, desired: &DesiredTopic) -> Result<(), Rejection> {
        let mut config = AlterConfig::new(ResourceSpecifier::Topic(&desired.name));
        for (key, value) in &desired.config {
            config = config.set(key, value);
        }
        let altered = self.client.alter_configs([&config], &options()).await?;
        altered.into_iter().try_for_each(|one| one.map(drop).map_err(|(_, code)| code.into()))
    }

    /// Deletes a topic. A topic that does not exist is no error.
    pub(super) async fn delete(&self, topic: &str) -> Result<(), Rejection> {
        let deleted = self.client.delete_topics(&[topic], &options()).await?;
        deleted.into_iter().try_for_each(|one| match one {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
            Err((_, code)) => Err(code.into()),
        })
    }
}

/// The numbers of partitions and replicas. All topics are requested, since a request for one name
/// may create it.
fn counts(
    client: &AdminClient<DefaultClientContext>,
    names: &[String],
) -> Result<Vec<(String, [i32; 2])>, KafkaError> {
    let metadata = client.inner().fetch_metadata(None, REQUEST_LIMIT)?;
    let wanted = metadata.topics().iter().filter(|topic| names.iter().any(|name| name == topic.name()));
    let counted = wanted.map(|topic| {
        let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
        (topic.name().to_owned(), [topic.partitions().len(), replicas].map(count))
    });
    Ok(counted.collect())
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_LIMIT)).operation_timeout(Some(REQUEST_LIMIT))
}

fn check(answers: Vec<TopicResult>) -> Result<(), Rejection> {
    answers.into_iter().try_for_each(|answer| match answer {
        Ok(_) => Ok(()),
        Err((_, code)) => Err(code.into()),
    })
}

impl From<KafkaError> for Rejection {
    fn from(error: KafkaError) -> Self {
        error.rdkafka_error_code().map_or_else(|| Self::kafka(error.to_string()), Self::from)
    }
}

impl From<RDKafkaErrorCode> for Rejection {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self::kafka(code.to_string())
    }
}

/// Kafka counts partitions and replicas in an i32.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
