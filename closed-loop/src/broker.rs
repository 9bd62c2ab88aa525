//! What the broker knows of the groups, asked twice a second: it is known also while no consumer runs that could tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{KafkaObserver, PartitionLag};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::clock::Clock;
use super::timeline::Points;

const EVERY: Duration = Duration::from_millis(500);

/// A group and the topics that it consumes, by their names in Kafka.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub group: String,
    pub topics: Vec<String>,
}

/// What the broker knows of one group, over the story's time.
#[derive(Clone, Debug, Default)]
pub struct GroupLag {
    /// Records behind, by `topic/partition`.
    pub partitions: BTreeMap<String, Points>,
    /// Records that its topics hold, all together.
    pub sent: Points,
}

/// The asking; it ends with this value.
#[derive(Debug)]
pub struct Broker {
    groups: Arc<Mutex<BTreeMap<String, GroupLag>>>,
    _tasks: JoinSet<()>,
}

impl Broker {
    /// Begins to ask.
    pub fn watch(observer: KafkaObserver, subscriptions: Vec<Subscription>, clock: Clock) -> Self {
        let groups: Arc<Mutex<BTreeMap<String, GroupLag>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let groups = Arc::clone(&groups);
            async move {
                loop {
                    for Subscription { group, topics } in &subscriptions {
                        let mut found = Vec::new();
                        for topic in topics {
                            // A broker that is away is part of some stories, a topic that is not there yet of all.
                            found
                                .push(observer.lag(topic, group).await.map(|partitions| (topic, partitions)));
                        }
                        if let Ok(found) = found.into_iter().collect::<Result<Vec<_>, _>>() {
                            note(groups.lock().entry(group.clone()).or_default(), &found, clock.now());
                        }
                    }
                    tokio::time::sleep(EVERY).await;
                }
            }
        });
        Self { groups, _tasks: tasks }
    }

    /// What has been seen of a group so far.
    pub fn group(&self, name: &str) -> GroupLag {
        self.groups.lock().get(name).cloned().unwrap_or_default()
    }
}

impl GroupLag {
    /// The latest lag of each partition; empty where none is known.
    pub fn latest(&self) -> Vec<f64> {
        self.partitions.values().filter_map(|points| points.last()).map(|(_, lag)| *lag).collect()
    }
}

#[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
fn note(group: &mut GroupLag, found: &[(&String, Vec<PartitionLag>)], at: f64) {
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
