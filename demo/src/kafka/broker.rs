//! What the broker knows of the groups, asked twice a second: it is known also while no consumer runs that could tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kcg_devcluster::{KafkaObserver, PartitionLag};
use tokio::task::JoinSet;

use super::clock::Clock;

const EVERY: Duration = Duration::from_millis(500);

/// A group and the topics that it consumes, by their names in Kafka.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub group: String,
    pub topics: Vec<String>,
}

/// The lag of each partition over the story's time, in records, by group and `topic/partition`.
pub type Lags = BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>>;

/// The asking; it ends with this value.
#[derive(Debug)]
pub struct Broker {
    lags: Arc<Mutex<Lags>>,
    _tasks: JoinSet<()>,
}

impl Broker {
    /// Begins to ask.
    pub fn watch(observer: KafkaObserver, subscriptions: Vec<Subscription>, clock: Clock) -> Self {
        let lags: Arc<Mutex<Lags>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let lags = Arc::clone(&lags);
            async move {
                loop {
                    for Subscription { group, topics } in &subscriptions {
                        for topic in topics {
                            // A broker that is away is part of some stories, a topic that is not there yet of all.
                            if let Ok(partitions) = observer.lag(topic, group).await {
                                note(
                                    lock(&lags).entry(group.clone()).or_default(),
                                    topic,
                                    &partitions,
                                    clock.now(),
                                );
                            }
                        }
                    }
                    tokio::time::sleep(EVERY).await;
                }
            }
        });
        Self { lags, _tasks: tasks }
    }

    /// What has been seen so far.
    pub fn lags(&self) -> Lags {
        lock(&self.lags).clone()
    }

    /// The latest lags of a group's partitions; empty where none is known.
    pub fn latest(&self, group: &str) -> Vec<f64> {
        let lags = lock(&self.lags);
        let partitions = lags.get(group).into_iter().flat_map(BTreeMap::values);
        partitions.filter_map(|points| points.last()).map(|(_, lag)| *lag).collect()
    }
}

fn note(lines: &mut BTreeMap<String, Vec<(f64, f64)>>, topic: &str, partitions: &[PartitionLag], at: f64) {
    for partition in partitions {
        #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
        let lag = partition.messages() as f64;
        lines.entry(format!("{topic}/{}", partition.partition)).or_default().push((at, lag));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
