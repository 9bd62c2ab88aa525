//! What the broker knows of the groups, asked on a thread of its own twice a second: it is known also while no consumer
//! runs that could tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use kcg_devcluster::{GroupReader, PartitionLag};

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
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Begins to ask.
    pub fn watch(reader: GroupReader, subscriptions: Vec<Subscription>, clock: Clock) -> Self {
        let lags: Arc<Mutex<Lags>> = Arc::default();
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn({
            let lags = Arc::clone(&lags);
            move || {
                while ended.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    for Subscription { group, topics } in &subscriptions {
                        for topic in topics {
                            // A broker that is away is part of some stories: then nothing is known.
                            let Ok(partitions) = reader.lag(topic, group) else { continue };
                            note(lock(&lags).entry(group.clone()).or_default(), topic, &partitions, clock.now());
                        }
                    }
                }
            }
        });
        Self { lags, end: Some(end), thread: Some(thread) }
    }

    /// What has been seen so far.
    pub fn lags(&self) -> Lags {
        lock(&self.lags).clone()
    }

    /// The latest lag of a group's partitions, added up; nothing where no partition is known.
    pub fn lag(&self, group: &str) -> Option<f64> {
        let lags = lock(&self.lags);
        let latest = lags.get(group)?.values().filter_map(|points| points.last());
        latest.map(|(_, lag)| *lag).reduce(|sum, lag| sum + lag)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it panicked, which its own message has said.
            let _ = thread.join();
        }
    }
}

fn note(lines: &mut BTreeMap<String, Vec<(f64, f64)>>, topic: &str, partitions: &[PartitionLag], at: f64) {
    for partition in partitions {
        #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
        let lag = (partition.end - partition.committed.unwrap_or(0)).max(0) as f64;
        lines.entry(format!("{topic}/{}", partition.partition)).or_default().push((at, lag));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
