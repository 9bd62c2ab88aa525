//! The producer and its configuration, with a reason for each line.

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

/// The pause before a retry while the client's queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// The producer.
#[derive(Clone)]
pub struct Kafka {
    producer: ThreadedProducer<Deliveries>,
}

/// Receives the result of each record, and counts it in the tally that belongs to the record.
struct Deliveries {
    counters: Counters,
}

fn config(flags: &KafkaFlags) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &flags.bootstrap_servers)
        .set("client.id", &flags.client_id)
        // Retries neither duplicate a record nor change the order within a partition. This implies
        // acks=all, which is set anyway, since it is the meaning of "confirmed": every in-sync
        // replica has the record.
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // How long a record is retried, for example while a broker restarts.
        .set("delivery.timeout.ms", flags.delivery_timeout.as_millis().to_string())
        // The hash of Java's default partitioner, so that all clients put a key into the same
        // partition.
        .set("partitioner", "murmur2_random")
        // New partitions are used within this time; the default is 5 minutes.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // A misspelt topic is an error and is not created.
        .set("allow.auto.create.topics", "false")
        // Reconnect soon after an outage.
        .set("reconnect.backoff.max.ms", "2000")
        // Java's default; librdkafka's is 1 MB. Consumers fetch whole batches, so large ones make
        // other partitions wait.
        .set("batch.size", "16384")
        // The memory for waiting records; the default is 1 GiB.
        .set("queue.buffering.max.kbytes", "65536");
    config
}

impl Kafka {
    /// Creates the producer; it connects in the background.
    pub fn new(flags: &KafkaFlags, counters: Counters) -> anyhow::Result<Self> {
        let producer = config(flags).create_with_context(Deliveries { counters });
        Ok(Self { producer: producer.context("the producer's configuration is invalid")? })
    }

    /// Whether the topic exists. The request also updates the client's list of partitions. It fails
    /// if Kafka is unreachable, a permission is missing, or the topic has no leader yet.
    pub fn has_topic(&self, topic: &str, time: Duration) -> Result<bool, KafkaError> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), time)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| found.error().map(RDKafkaErrorCode::from)) {
            None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(false),
            Some(Some(code)) => Err(KafkaError::MetadataFetch(code)),
            Some(None) => Ok(true),
        }
    }

    /// Passes a record to the client, which sends it in the background. Waits while the client's
    /// queue is full. The tally counts the result. Returns false if the client rejects the record,
    /// or if `stop` returns true during the wait.
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
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), rejected)) if !stop() => {
                    record = rejected;
                    thread::sleep(QUEUE_PAUSE);
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
        // Reported many times a second while Kafka is unavailable; the client's log reports it less
        // often, with the cause.
        let unavailable = [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure];
        if error.rdkafka_error_code().is_some_and(|code| unavailable.contains(&code)) {
            debug!("{error}: {reason}");
        } else {
            warn!("{error}: {reason}");
        }
    }
}
