//! The producer and its configuration. Every line of the configuration is there for a reason, and the reason stands
//! beside it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message as _};
use tracing::{debug, info, warn};

use crate::flags::KafkaFlags;
use crate::metrics::Counters;
use crate::tally::Tally;

/// How long to wait while the client's own queue is full.
const ROOM: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub struct Kafka {
    producer: ThreadedProducer<Deliveries>,
}

/// Hears of each record's fate, and counts it in the tally that the record carries along.
struct Deliveries {
    counters: Counters,
}

fn config(flags: &KafkaFlags) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &flags.bootstrap_servers)
        .set("client.id", &flags.client_id)
        // Retries neither duplicate a record nor change the order within a partition. Implies acks=all; it is said all the
        // same, for that is what "confirmed" means here: every replica that is in sync has the record.
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // Until then a record is tried again, through a broker's restart, too.
        .set("delivery.timeout.ms", flags.delivery_timeout.as_millis().to_string())
        // The hash of Java's default partitioner: a key lies in the same partition whoever wrote it.
        .set("partitioner", "murmur2_random")
        // A topic's new partitions get records within this time; the default is 5 minutes.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // A misspelt topic is an error and does not come into being.
        .set("allow.auto.create.topics", "false")
        // A Kafka that comes back is found soon.
        .set("reconnect.backoff.max.ms", "2000")
        // Java's default. A consumer gets a batch whole, so big ones make its other partitions wait; librdkafka's is 1 MB.
        .set("batch.size", "16384")
        // Records that wait for Kafka, in memory; the default is 1 GiB.
        .set("queue.buffering.max.kbytes", "65536");
    config
}

impl Kafka {
    pub fn new(flags: &KafkaFlags, counters: Counters) -> anyhow::Result<Self> {
        let producer = config(flags).create_with_context(Deliveries { counters });
        Ok(Self { producer: producer.context("the producer's configuration is refused")? })
    }

    /// Whether the topic exists. Asking also tells the client of partitions that the topic got. An error is what hinders
    /// the answer: a Kafka that is away, a right that is missing, a topic without a leader yet.
    pub fn has_topic(&self, topic: &str, time: Duration) -> Result<bool, KafkaError> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), time)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| found.error().map(RDKafkaErrorCode::from)) {
            None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(false),
            Some(Some(code)) => Err(KafkaError::MetadataFetch(code)),
            Some(None) => Ok(true),
        }
    }

    /// Hands a record to the client, which sends it in its own time, and waits while its queue is full. The tally learns
    /// what becomes of it. False when the client does not take it, or `stop` says to wait no longer.
    pub fn send(
        &self,
        (topic, key, value): (&str, &str, &str),
        tally: &Arc<Tally>,
        stop: &dyn Fn() -> bool,
    ) -> bool {
        let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(tally)).key(key).payload(value);
        tally.take();
        loop {
            match self.producer.send(record) {
                Ok(()) => return true,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) if !stop() => {
                    record = refused;
                    thread::sleep(ROOM);
                }
                Err((failure, _)) => {
                    tally.fail(&failure.to_string());
                    return false;
                }
            }
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Tally>;

    fn delivery(&self, result: &DeliveryResult<'_>, tally: Arc<Tally>) {
        match result {
            Ok(message) => {
                self.counters.confirmed(message.topic());
                tally.confirm(message.topic(), message.partition());
            }
            Err((failure, message)) => {
                self.counters.failed(message.topic());
                tally.fail(&format!("{} was not confirmed: {failure}", message.topic()));
            }
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => debug!("{facility}: {message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => info!("{facility}: {message}"),
            _ => warn!("{facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Said many times a second while Kafka is away; the client's log says it once in a while, with the cause.
        let away = [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure];
        if error.rdkafka_error_code().is_some_and(|code| away.contains(&code)) {
            debug!("{error}: {reason}");
        } else {
            warn!("{error}: {reason}");
        }
    }
}
