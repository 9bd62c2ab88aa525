//! The member of the consumer group: its configuration, with a reason for each line, and its poll
//! loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{info, warn};

use crate::callbacks::{Callbacks, commit_last, is_unavailable};
use crate::flags::Flags;
use crate::inbox::Inbox;
use crate::membership::STATISTICS_INTERVAL;
use crate::metrics::Counters;
use crate::record::Record;
use crate::worker;

/// How long one poll waits for a record, and so how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// How long to wait for room in the inbox before polling continues without fetching.
const ROOM_LIMIT: Duration = Duration::from_millis(200);
/// A record that takes longer than this counts as stuck.
pub const LONGEST_RECORD: Duration = Duration::from_mins(5);

fn config(flags: &Flags) -> ClientConfig {
    let mut config = ClientConfig::new();
    let session = flags.session_timeout.as_millis();
    config
        .set("bootstrap.servers", &flags.bootstrap_servers)
        .set("group.id", &flags.group_id)
        .set("client.id", &flags.client_id)
        .set("partition.assignment.strategy", flags.assignor.name())
        // A new group has no committed offset and starts with the oldest record, so that it misses
        // none.
        .set("auto.offset.reset", "earliest")
        // Only stored offsets are committed, and the worker stores an offset after it has processed
        // the record.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("session.timeout.ms", session.to_string())
        // Members learn of a rebalance by their heartbeat, so this is how fast partitions move.
        .set("heartbeat.interval.ms", (session / 10).clamp(100, 1000).to_string())
        .set("max.poll.interval.ms", LONGEST_RECORD.as_millis().to_string())
        // New topics and new partitions are noticed within this time; the default is 5 minutes.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string())
        // Reconnect soon after an outage.
        .set("reconnect.backoff.max.ms", "2000")
        // Small fetches, so that partitions take turns. With large ones, other partitions wait
        // until one is processed.
        .set("max.partition.fetch.bytes", "16384")
        // The memory for prefetched records; the default is 64 MiB, which is more than such a pod
        // should need.
        .set("queued.max.messages.kbytes", "16384");
    if let Some(instance) = &flags.group_instance_id {
        config.set("group.instance.id", instance);
    }
    config
}

/// Consumes until `stop` is set, then finishes the current record, commits and leaves the group. An
/// outage of Kafka is no error, since the client retries forever. Errors are those that a retry
/// cannot cure.
pub fn run(
    flags: &Flags,
    callbacks: &Callbacks,
    counters: &Counters,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let consumer: BaseConsumer<Callbacks> = config(flags)
        .create_with_context(callbacks.clone())
        .context("the consumer's configuration is invalid")?;
    let topics: Vec<&str> = flags.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).with_context(|| format!("cannot subscribe to {}", topics.join(", ")))?;
    info!("consuming {} as a member of {}", topics.join(", "), flags.group_id);
    let consumer = Arc::new(consumer);
    let inbox = callbacks.inbox();
    let worker = worker::start(flags, Arc::clone(&consumer), Arc::clone(inbox), counters.clone())
        .context("cannot start the worker's thread")?;

    let ended = poll(&consumer, inbox, stop);

    callbacks.membership().leave();
    // The current record is finished first, then all processed records are committed.
    inbox.close();
    let worked = worker.join();
    commit_last(&consumer);
    // A dropped consumer leaves its group, so the others get its partitions now and not after the
    // session timeout.
    drop(consumer);
    worked.map_err(|_| anyhow!("the worker panicked"))?;
    ended
}

/// Polls, and passes records to the worker. The worker has its own thread, so that a slow record
/// delays neither statistics nor rebalances.
fn poll(consumer: &BaseConsumer<Callbacks>, inbox: &Inbox, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut paused = false;
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => inbox.put(Record::read(&message)),
            Some(Err(KafkaError::MessageConsumptionFatal(failure))) => {
                bail!("Kafka has rejected this member permanently: {failure}");
            }
            Some(Err(failure @ KafkaError::MessageConsumption(RDKafkaErrorCode::NotImplemented))) => {
                bail!(
                    "a record has a compression that this build does not support ({failure}): build it with rdkafka's \
                     feature libz (gzip) or zstd"
                );
            }
            // `Callbacks::error` reports it.
            Some(Err(KafkaError::MessageConsumption(code))) if is_unavailable(code) => {}
            None => {}
            Some(Err(failure)) => warn!("Kafka: {failure}; retrying"),
        }
        let full = !inbox.has_room_within(ROOM_LIMIT);
        if inbox.is_closed() {
            bail!("the worker has stopped");
        }
        // Pausing lets the loop poll without fetching. It is repeated each time, since a rebalance
        // may assign partitions.
        if full {
            consumer.pause(&consumer.assignment()?)?;
        } else if paused {
            consumer.resume(&consumer.assignment()?)?;
        }
        paused = full;
    }
    Ok(())
}
