//! The member of the consumer group: its configuration and its loop. Every line of the configuration is there for a
//! reason, and the reason stands beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{info, warn};

use crate::callbacks::{Callbacks, commit_last, is_away};
use crate::flags::Flags;
use crate::inbox::Inbox;
use crate::membership::STATISTICS_INTERVAL;
use crate::metrics::Counters;
use crate::record::Record;
use crate::worker;

/// How long one poll waits for a record; also how soon an ending is noticed.
const POLL: Duration = Duration::from_millis(100);
/// How long to wait for room in the inbox before polling goes on without fetching.
const PATIENCE: Duration = Duration::from_millis(200);
/// A record that takes longer than this is taken for stuck.
pub const LONGEST_RECORD: Duration = Duration::from_mins(5);

fn config(flags: &Flags) -> ClientConfig {
    let mut config = ClientConfig::new();
    let session = flags.session_timeout.as_millis();
    config
        .set("bootstrap.servers", &flags.bootstrap_servers)
        .set("group.id", &flags.group_id)
        .set("client.id", &flags.client_id)
        .set("partition.assignment.strategy", flags.assignor.name())
        // A group without a committed offset starts with the oldest record: it is new, and nothing may be missed.
        .set("auto.offset.reset", "earliest")
        // An offset is committed once it is stored, and the worker stores it when the record is processed, not before.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("session.timeout.ms", session.to_string())
        // Members learn of a rebalance by their heartbeat: this is how fast partitions change hands.
        .set("heartbeat.interval.ms", (session / 10).clamp(100, 1000).to_string())
        .set("max.poll.interval.ms", LONGEST_RECORD.as_millis().to_string())
        // A topic that gets partitions, or a topic that is created, is seen within this time; the default is 5 minutes.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string())
        // A Kafka that comes back is found soon.
        .set("reconnect.backoff.max.ms", "2000")
        // Small bites, so that partitions take turns: of a big one, the others would wait until it is worked off.
        .set("max.partition.fetch.bytes", "16384")
        // Records fetched ahead, in memory; the default is 64 MiB, which is more than such a pod should need.
        .set("queued.max.messages.kbytes", "16384");
    if let Some(instance) = &flags.group_instance_id {
        config.set("group.instance.id", instance);
    }
    config
}

/// Consumes until `stop` is set, then finishes the record in hand, commits and leaves the group.
/// Kafka being away is no error: the client tries again for ever. An error is what no waiting cures.
pub fn run(
    flags: &Flags,
    callbacks: &Callbacks,
    counters: &Counters,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let consumer: BaseConsumer<Callbacks> = config(flags)
        .create_with_context(callbacks.clone())
        .context("the consumer's configuration is refused")?;
    let topics: Vec<&str> = flags.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).with_context(|| format!("cannot subscribe to {}", topics.join(", ")))?;
    info!("consumes {} as a member of {}", topics.join(", "), flags.group_id);
    let consumer = Arc::new(consumer);
    let inbox = callbacks.inbox();
    let worker = worker::start(flags, Arc::clone(&consumer), Arc::clone(inbox), counters.clone())
        .context("the worker's thread cannot be started")?;

    let ended = poll(&consumer, inbox, stop);

    callbacks.membership().leave();
    // The record in hand is finished first; then all that was processed is committed.
    inbox.close();
    let worked = worker.join();
    commit_last(&consumer);
    // Dropped, a consumer leaves its group: the others get its partitions now, not after the session timeout.
    drop(consumer);
    worked.map_err(|_| anyhow!("the worker panicked"))?;
    ended
}

/// Polls and hands on. The worker has a thread of its own so that a slow record keeps neither statistics nor a
/// rebalance from being heard.
fn poll(consumer: &BaseConsumer<Callbacks>, inbox: &Inbox, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut paused = false;
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => inbox.put(Record::read(&message)),
            Some(Err(KafkaError::MessageConsumptionFatal(failure))) => {
                bail!("Kafka refuses this member for good: {failure}");
            }
            Some(Err(failure @ KafkaError::MessageConsumption(RDKafkaErrorCode::NotImplemented))) => {
                bail!(
                    "a record is packed in a way that this build cannot read ({failure}): build it with rdkafka's \
                     feature libz (gzip) or zstd"
                );
            }
            // `Callbacks::error` hears it as well.
            Some(Err(KafkaError::MessageConsumption(code))) if is_away(code) => {}
            None => {}
            Some(Err(failure)) => warn!("Kafka: {failure}; tried again"),
        }
        let full = !inbox.has_room_within(PATIENCE);
        if inbox.is_closed() {
            bail!("the worker has stopped");
        }
        // Paused, partitions can be polled without getting more. Each time, since a rebalance may have brought some meanwhile.
        if full {
            consumer.pause(&consumer.assignment()?)?;
        } else if paused {
            consumer.resume(&consumer.assignment()?)?;
        }
        paused = full;
    }
    Ok(())
}
