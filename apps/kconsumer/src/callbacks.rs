//! What the Kafka client calls while it is polled: rebalances, statistics, its log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics, TopicPartitionList};
use tracing::{debug, info, warn};

use crate::inbox::Inbox;
use crate::membership::Membership;
use crate::record::Place;

/// How long the last commit is tried: a rebalance of a group that is well takes less.
const LAST_COMMIT: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    membership: Arc<Mutex<Membership>>,
    inbox: Arc<Inbox>,
}

impl Callbacks {
    pub fn membership(&self) -> MutexGuard<'_, Membership> {
        // Nothing is left half-done under this lock, so a thread that died holding it spoiled nothing.
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Forgets these partitions, and waits until the record in hand is finished if it is one of theirs. The membership is not
    /// held meanwhile: /readyz and /metrics look at it.
    fn give_back(&self, places: &[Place], lost: bool) {
        self.membership().revoke(places, lost);
        self.inbox.give_back(places);
    }
}

impl ConsumerContext for Callbacks {
    /// Before partitions are given back: the record in hand is finished and what was processed is committed, so that the
    /// next owner starts behind it. The others wait for this, which is why it must not take longer than one record.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else { return };
        let lost = consumer.assignment_lost();
        let revoked = places(partitions);
        self.give_back(&revoked, lost);
        if lost {
            // Others may have these partitions already, and Kafka would refuse the commit.
            warn!("the group took partitions away without asking: {}", named(partitions));
        } else {
            // Kafka takes it between the rounds of a rebalance, and the client has it call this then; there is no second
            // try, since a client that waits in here does not follow the rebalance.
            told(commit(consumer));
            info!("gave back {}", named(partitions));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                // One that was paused when it was given back would come back paused.
                if let Err(failure) = consumer.resume(partitions) {
                    warn!("{} may stay paused: {failure}", named(partitions));
                }
                let mut membership = self.membership();
                membership.assign(places(partitions));
                info!("was given {}: has {} partitions", named(partitions), membership.assigned().len());
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(failure) => {
                // The client holds no partition any more, whatever it held before.
                let all: Vec<Place> = self.membership().assigned().iter().cloned().collect();
                self.give_back(&all, true);
                warn!("a rebalance failed, and all partitions with it: {failure}");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // Nothing is lost: the next commit, a second later, holds these offsets as well.
            Err(refused) => warn!("a commit failed: {refused}"),
        }
    }
}

impl ClientContext for Callbacks {
    fn stats(&self, statistics: Statistics) {
        self.membership().hear(&statistics, Instant::now());
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => debug!("{facility}: {message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => info!("{facility}: {message}"),
            _ => warn!("{facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Said many times a second while Kafka is away; the client's log says it once in a while, with the cause.
        if error.rdkafka_error_code().is_some_and(is_away) {
            debug!("{error}: {reason}");
        } else {
            warn!("{error}: {reason}");
        }
    }
}

/// Whether this says that Kafka is away.
pub const fn is_away(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
}

/// Commits what was processed before the end. While the group rebalances Kafka refuses it for a moment, in which the member
/// has to go along.
pub fn commit_last(consumer: &BaseConsumer<Callbacks>) {
    let until = Instant::now() + LAST_COMMIT;
    loop {
        match commit(consumer) {
            Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration,
            )) if Instant::now() < until => {
                // A record that it brings is not stored, so it is not committed either.
                drop(consumer.poll(BETWEEN));
            }
            answer => return told(answer),
        }
    }
}

/// Commits what was processed, and waits for Kafka's answer.
fn commit(consumer: &BaseConsumer<Callbacks>) -> KafkaResult<()> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        answer => answer,
    }
}

fn told(commit: KafkaResult<()>) {
    if let Err(refused) = commit {
        warn!("the last records may be processed again, for a commit failed: {refused}");
    }
}

fn places(partitions: &TopicPartitionList) -> Vec<Place> {
    let elements = partitions.elements();
    elements
        .iter()
        .map(|element| Place { topic: element.topic().to_owned(), partition: element.partition() })
        .collect()
}

fn named(partitions: &TopicPartitionList) -> String {
    let names: Vec<String> = places(partitions).iter().map(Place::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
