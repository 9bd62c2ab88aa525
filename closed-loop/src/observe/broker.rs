//! The groups' lag over the time of a run, polled from the broker. The broker knows it even while
//! no consumer runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::clock::Clock;
use crate::kafka::{KafkaObserver, PartitionLag};
use crate::timeline::Points;

const INTERVAL: Duration = Duration::from_millis(500);

/// A group and the topics that it consumes, by their names in Kafka.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The group's name.
    pub group: String,
    /// The topics' names.
    pub topics: Vec<String>,
}

/// The lag of one group over the time of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupLag {
    /// Records behind, by `topic/partition`.
    pub partitions: BTreeMap<String, Points>,
    /// Records in all its topics.
    pub sent: Points,
}

/// Polls the broker until it is dropped.
#[derive(Debug)]
pub struct Broker {
    groups: Arc<Mutex<BTreeMap<String, GroupLag>>>,
    _tasks: JoinSet<()>,
}

impl Broker {
    /// Begins to poll.
    pub fn poll(observer: KafkaObserver, subscriptions: Vec<Subscription>, clock: Clock) -> Self {
        let groups: Arc<Mutex<BTreeMap<String, GroupLag>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let groups = Arc::clone(&groups);
            async move {
                loop {
                    for Subscription { group, topics } in &subscriptions {
                        // Errors are expected: a scenario may stop the broker, and its topics do
                        // not exist at first.
                        if let Some(found) = lag_of(&observer, group, topics).await {
                            record(groups.lock().entry(group.clone()).or_default(), &found, clock.now());
                        }
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        });
        Self { groups, _tasks: tasks }
    }

    /// The observations of a group so far.
    pub fn group(&self, name: &str) -> GroupLag {
        self.groups.lock().get(name).cloned().unwrap_or_default()
    }
}

async fn lag_of<'a>(
    observer: &KafkaObserver,
    group: &str,
    topics: &'a [String],
) -> Option<Vec<(&'a String, Vec<PartitionLag>)>> {
    let mut found = Vec::new();
    for topic in topics {
        found.push((topic, observer.lag(topic, group).await.ok()?));
    }
    Some(found)
}

impl GroupLag {
    /// The latest lag of each partition; empty if none is known.
    pub fn latest(&self) -> Vec<f64> {
        self.partitions.values().filter_map(|points| points.last()).map(|(_, lag)| *lag).collect()
    }
}

#[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
fn record(group: &mut GroupLag, found: &[(&String, Vec<PartitionLag>)], at: f64) {
    let mut sent = 0;
    for (topic, partitions) in found {
        for partition in partitions {
            let line = group.partitions.entry(format!("{topic}/{}", partition.partition)).or_default();
            line.push((at, partition.messages() as f64));
            sent += partition.end;
        }
    }
    group.sent.push((at, sent as f64));
}
