//! The requests by which topics are seen, made, changed and deleted in Kafka.

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

use super::contract::{Refusal, Seen, Wanted};
use crate::kafka::{Kafka, TopicIds};
use crate::{Error, Result};

const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// How long a new topic may take until the broker holds it.
const CREATE_LIMIT: Duration = Duration::from_secs(10);

/// Kafka as an administrator reaches it.
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
    pub fn new(kafka: &Kafka) -> Result<Self> {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", kafka.bootstrap_servers());
        settings.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        let client = settings.create().map_err(Error::client("make an administrator's client"))?;
        Ok(Self { client: Arc::new(client), ids: kafka.topic_ids() })
    }

    /// The topics of these names that there are.
    pub async fn look(&self, names: Vec<String>) -> Result<BTreeMap<String, Seen>, Refusal> {
        let mut seen = BTreeMap::new();
        if names.is_empty() {
            return Ok(seen);
        }
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || counts(&client, &names)).await;
        let counted = asked.map_err(|panic| Refusal::kafka(panic.to_string()))??;
        for (name, [partitions, replicas]) in counted {
            let config = self.config(&name).await?;
            seen.insert(name, Seen { partitions, replicas, config });
        }
        Ok(seen)
    }

    async fn config(&self, topic: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let described = self.client.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await;
        let mut config = BTreeMap::new();
        for resource in described? {
            let own = resource?.entries.into_iter();
            let own = own.filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
            config.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(config)
    }

    pub async fn create(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let mut topic =
            NewTopic::new(&wanted.name, wanted.partitions, TopicReplication::Fixed(wanted.replicas));
        for (key, value) in &wanted.config {
            topic = topic.set(key, value);
        }
        judge(self.client.create_topics([&topic], &options()).await?)?;
        // Only a broker that serves the new topic has put away the folder of an old one of that name, with its id.
        let served = async {
            while !self.look(vec![wanted.name.clone()]).await?.contains_key(&wanted.name) {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        let late = |_| Err(Refusal::kafka("the new topic is not served yet"));
        tokio::time::timeout(CREATE_LIMIT, served).await.unwrap_or_else(late)
    }

    /// Kafka's own id of a topic that is there.
    pub async fn id(&self, topic: &str) -> Result<String, Refusal> {
        let known = async {
            loop {
                match self.ids.of(topic) {
                    Some(id) => return id,
                    None => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        let late = |_| Refusal::kafka("the broker has not written the topic's id yet");
        tokio::time::timeout(CREATE_LIMIT, known).await.map_err(late)
    }

    pub async fn grow(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let count = usize::try_from(wanted.partitions).map_err(|error| Refusal::kafka(error.to_string()))?;
        judge(self.client.create_partitions([&NewPartitions::new(&wanted.name, count)], &options()).await?)
    }

    /// Sets the topic's whole config: what is not named goes back to the broker's default.
    pub async fn configure(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let mut config = AlterConfig::new(ResourceSpecifier::Topic(&wanted.name));
        for (key, value) in &wanted.config {
            config = config.set(key, value);
        }
        let altered = self.client.alter_configs([&config], &options()).await?;
        altered.into_iter().try_for_each(|one| one.map(drop).map_err(|(_, code)| code.into()))
    }

    /// A topic that is not there is deleted.
    pub async fn delete(&self, topic: &str) -> Result<(), Refusal> {
        let deleted = self.client.delete_topics(&[topic], &options()).await?;
        deleted.into_iter().try_for_each(|one| match one {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
            Err((_, code)) => Err(code.into()),
        })
    }
}

/// The numbers of partitions and of replicas. All topics are asked for: to ask for one by name may make it.
fn counts(
    client: &AdminClient<DefaultClientContext>,
    names: &[String],
) -> Result<Vec<(String, [i32; 2])>, KafkaError> {
    let metadata = client.inner().fetch_metadata(None, REQUEST_LIMIT)?;
    let asked = metadata.topics().iter().filter(|topic| names.iter().any(|name| name == topic.name()));
    let counted = asked.map(|topic| {
        let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
        (topic.name().to_owned(), [topic.partitions().len(), replicas].map(count))
    });
    Ok(counted.collect())
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_LIMIT)).operation_timeout(Some(REQUEST_LIMIT))
}

fn judge(answers: Vec<TopicResult>) -> Result<(), Refusal> {
    answers.into_iter().try_for_each(|answer| match answer {
        Ok(_) => Ok(()),
        Err((_, code)) => Err(code.into()),
    })
}

impl From<KafkaError> for Refusal {
    fn from(error: KafkaError) -> Self {
        error.rdkafka_error_code().map_or_else(|| Self::kafka(error.to_string()), Self::from)
    }
}

impl From<RDKafkaErrorCode> for Refusal {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self::kafka(code.to_string())
    }
}

/// Kafka counts partitions and replicas in an i32.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
