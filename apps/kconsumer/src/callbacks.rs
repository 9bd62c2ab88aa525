//! The callbacks of the Kafka client, called while it is polled: rebalances, statistics, log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics, TopicPartitionList};
use tracing::{debug, info, warn};

use crate::inbox::Inbox;
use crate::membership::Membership;
use crate::record::Place;

/// The limit for retries of the last commit. A rebalance of a healthy group takes less.
const LAST_COMMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Passes what the client reports to the membership and the inbox.
#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    membership: Arc<Mutex<Membership>>,
    inbox: Arc<Inbox>,
}

impl Callbacks {
    /// The state of this member in its group.
    pub fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock()
    }

    /// The records between the member and the worker.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Removes these partitions, and waits until the current record is finished if it is from one
    /// of them. The membership is not locked during the wait, since /readyz and /metrics read it.
    fn revoke(&self, places: &[Place], lost: bool) {
        self.membership().revoke(places, lost);
        self.inbox.revoke(places);
    }
}

impl ConsumerContext for Callbacks {
    /// Called before partitions are revoked. The current record is finished and all processed
    /// records are committed, so that the next owner continues after them. The group waits for
    /// this, so it must not take longer than one record.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else { return };
        let lost = consumer.assignment_lost();
        let revoked = places(partitions);
        self.revoke(&revoked, lost);
        if lost {
            // Other members may own these partitions already, and Kafka would reject the commit.
            warn!("partitions were lost: {}", named(partitions));
        } else {
            // The client calls this between the rounds of a rebalance, when Kafka accepts commits.
            // There is no retry, since a client that waits here does not take part in the
            // rebalance.
            warn_if_failed(commit(consumer));
            info!("revoked: {}", named(partitions));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                // A partition that was paused when it was revoked would still be paused.
                if let Err(failure) = consumer.resume(partitions) {
                    warn!("{} may stay paused: {failure}", named(partitions));
                }
                let mut membership = self.membership();
                membership.assign(places(partitions));
                info!("assigned: {}; {} partitions in all", named(partitions), membership.assigned().len());
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(failure) => {
                // The client has lost all its partitions.
                let all: Vec<Place> = self.membership().assigned().iter().cloned().collect();
                self.revoke(&all, true);
                warn!("a rebalance failed and all partitions are lost: {failure}");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // Nothing is lost: the next commit, a second later, includes these offsets.
            Err(failure) => warn!("a commit failed: {failure}"),
        }
    }
}

impl ClientContext for Callbacks {
    fn stats(&self, statistics: Statistics) {
        self.membership().update(&statistics, Instant::now());
    }

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
        if error.rdkafka_error_code().is_some_and(is_unavailable) {
            debug!("{error}: {reason}");
        } else {
            warn!("{error}: {reason}");
        }
    }
}

/// Whether this code means that Kafka is unavailable.
pub const fn is_unavailable(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
}

/// Commits all processed records before the process ends. During a rebalance Kafka rejects commits
/// for a moment, and the member has to take part in it.
pub fn commit_last(consumer: &BaseConsumer<Callbacks>) {
    let until = Instant::now() + LAST_COMMIT;
    loop {
        match commit(consumer) {
            Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration,
            )) if Instant::now() < until => {
                // The offset of a record that this returns is not stored, so it is not committed.
                drop(consumer.poll(PAUSE));
            }
            result => return warn_if_failed(result),
        }
    }
}

/// Commits all processed records, and waits for Kafka's answer.
fn commit(consumer: &BaseConsumer<Callbacks>) -> KafkaResult<()> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        result => result,
    }
}

fn warn_if_failed(commit: KafkaResult<()>) {
    if let Err(failure) = commit {
        warn!("the last records may be processed again, since a commit failed: {failure}");
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
