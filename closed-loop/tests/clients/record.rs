//! Records what apps/kconsumer, a client on librdkafka, exports on a real Kafka. `tests/alerts` checks
//! the adapter's rules and the alerts on these recordings.
//!
//! `cargo test -p kcg-closed-loop --test clients -- --ignored` renews them, in four minutes. Then
//! renew the lags in `tests/alerts/recorded.rs` and read the difference.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kcg_api::preset::Preset;
use kcg_closed_loop::{Kafka, Programs};
use kcg_devcluster::{Port, Process, wait};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tempfile::TempDir;

use super::{LIMIT, LOOPBACK, Outcome, TOPICS, create_topics, get, series};

const PRESETS: [Preset; 2] = [Preset::Spring, Preset::Librdkafka];
/// Records to each partition of each topic, so that no two partitions have the same lag.
const RECORDS: [usize; 3] = [480, 500, 520];
/// Starts of a consumer until one is scraped before it polls.
const STARTS: usize = 20;
/// All scenes of one consumer take less.
const STORY: Duration = Duration::from_mins(6);

/// Where the consumers run. The topics have records.
struct Place {
    producer: FutureProducer,
    kafka: Kafka,
    program: PathBuf,
    folder: TempDir,
}

impl Place {
    async fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let programs = Programs::build().await?;
        let program =
            programs.iter().find(|(name, _)| *name == "kconsumer").ok_or("no kconsumer")?.1.to_owned();
        let kafka = Kafka::start(folder.path(), LOOPBACK).await?;
        let producer = create_topics(&kafka).await?;
        let this = Self { producer, kafka, program, folder };
        this.send().await?;
        Ok(this)
    }

    async fn send(&self) -> Outcome {
        for topic in TOPICS {
            for (partition, records) in (0..).zip(RECORDS) {
                let sent = (0..records).map(|_| {
                    let record = FutureRecord::<str, str>::to(topic).partition(partition).payload("bar-1");
                    self.producer.send(record, LIMIT)
                });
                for confirmed in sent.collect::<Vec<_>>() {
                    confirmed.await.map_err(|(error, _)| error)?;
                }
            }
        }
        Ok(())
    }
}

/// A running consumer.
struct Client {
    id: String,
    port: Port,
    process: Process,
}

impl Client {
    fn start(at: &Place, id: &str, work: &str) -> Outcome<Self> {
        let port = Port::take()?;
        let mut command = Command::new(&at.program);
        command
            .env("KAFKA_BOOTSTRAP_SERVERS", at.kafka.bootstrap_servers())
            .env("KAFKA_TOPICS", TOPICS.join(","))
            .env("KAFKA_GROUP_ID", "recorded")
            .env("HOSTNAME", id)
            .env("KCONSUMER_WORK", work)
            .env("KCONSUMER_METRICS_ADDR", format!("127.0.0.1:{port}"));
        let process = Process::start_command(id, command, at.folder.path().join(format!("{id}.log")))?;
        Ok(Self { id: id.to_owned(), port, process })
    }

    fn scrape(&self) -> std::io::Result<String> {
        get(&self.port, "/metrics").map(|(_, text)| text)
    }

    /// Waits until the metrics are as `reached` says, and returns them.
    async fn until(&self, what: &str, reached: impl Fn(&Scrape<'_>) -> bool) -> Outcome<String> {
        let text = wait::until(&format!("{what} of {}", self.id), STORY, async || {
            self.process.must_run()?;
            // It may not listen yet.
            let text = self.scrape().unwrap_or_default();
            Ok(if !text.is_empty() && reached(&Scrape(&text)) { Ok(text) } else { Err(text) })
        })
        .await?;
        Ok(text)
    }
}

/// The figures of a scrape, under librdkafka's names.
struct Scrape<'a>(&'a str);

impl Scrape<'_> {
    #[allow(clippy::cast_possible_truncation)] // Counts of records, partitions and seconds.
    fn sum(&self, metric: &'static str) -> i64 {
        series(self.0, metric).map(|(_, value)| value as i64).sum()
    }

    fn assigned(&self) -> i64 {
        self.sum(Preset::Librdkafka.client_metrics().assigned_partitions)
    }

    /// The lag of all partitions; none if some have no figure.
    fn lag(&self) -> Option<i64> {
        let metric = Preset::Librdkafka.client_metrics().records_lag;
        let all = series(self.0, metric).count() == TOPICS.len() * RECORDS.len();
        all.then(|| self.sum(metric))
    }

    fn last_poll(&self) -> i64 {
        self.sum(Preset::Librdkafka.client_metrics().last_poll_seconds_ago)
    }
}

/// Writes a recording: the metrics that the presets name.
fn record(scene: &str, text: &str) -> Outcome {
    let names = PRESETS.map(Preset::client_metrics).map(|of| {
        [of.assigned_partitions, of.records_lag, of.former_lag, of.records_consumed, of.last_poll_seconds_ago]
    });
    let is_named =
        |line: &&str| names.as_flattened().iter().any(|name| line.split('{').next() == Some(*name));
    let mut lines: Vec<&str> = text.lines().filter(is_named).collect();
    lines.sort_unstable();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/alerts/recordings");
    Ok(std::fs::write(file.join(format!("rust-{scene}.prom")), lines.join("\n") + "\n")?)
}

fn total() -> i64 {
    i64::try_from(TOPICS.len() * RECORDS.iter().sum::<usize>()).unwrap_or(i64::MAX)
}

/// It has asked for no record yet for some milliseconds only.
#[tokio::test]
#[ignore = "it renews tests/alerts/recordings"]
async fn records_a_consumer_that_starts() -> Outcome {
    let at = Place::start().await?;
    for _ in 0..STARTS {
        let client = Client::start(&at, "pod-a", "10ms")?;
        let first = loop {
            client.process.must_run()?;
            match client.scrape() {
                Ok(text) if !text.is_empty() => break text,
                _ => {}
            }
        };
        if Scrape(&first).last_poll() < 0 {
            record("never-polled", &first)?;
            let polled = client.until("a poll", |seen| seen.last_poll() >= 0).await?;
            assert!(Scrape(&polled).assigned() == 0, "it has joined already: {polled}");
            return record("before-first-poll", &polled);
        }
    }
    Err(format!("in {STARTS} starts, it had polled before the first scrape").into())
}

/// It works off the records, is idle, gets more, and shares them with a second consumer.
#[tokio::test]
#[ignore = "it renews tests/alerts/recordings"]
async fn records_a_consumer_that_works() -> Outcome {
    let at = Place::start().await?;
    let client = Client::start(&at, "pod-a", "10ms")?;
    let some = |seen: &Scrape<'_>| seen.lag().is_some_and(|lag| lag > 0 && lag * 10 < total() * 9);
    record("backlog", &client.until("a backlog", some).await?)?;
    client.until("no lag", |seen| seen.lag() == Some(0)).await?;
    tokio::time::sleep(Duration::from_mins(2)).await;
    record("drained-120s", &client.scrape()?)?;
    at.send().await?;
    record("rebalance-before", &client.until("more records", some).await?)?;
    let second = Client::start(&at, "pod-b", "10ms")?;
    record("rebalance-0s", &client.until("three partitions", |seen| seen.assigned() == 3).await?)?;
    Ok(second.process.must_run()?)
}

/// The work on its first record never ends.
#[tokio::test]
#[ignore = "it renews tests/alerts/recordings"]
async fn records_a_consumer_that_hangs() -> Outcome {
    let at = Place::start().await?;
    let client = Client::start(&at, "pod-h", "1h")?;
    let hung = client.until("no poll for 150 s", |seen| seen.last_poll() >= 150).await?;
    record("hung-150s", &hung)
}

/// It is one consumer more than there are partitions.
#[tokio::test]
#[ignore = "it renews tests/alerts/recordings"]
async fn records_a_consumer_without_partitions() -> Outcome {
    let at = Place::start().await?;
    let partitions = TOPICS.len() * RECORDS.len();
    let mut others = Vec::new();
    for number in 0..partitions {
        others.push(Client::start(&at, &format!("pod-{number}"), "10ms")?);
    }
    for other in &others {
        other.until("one partition", |seen| seen.assigned() == 1).await?;
    }
    let client = Client::start(&at, "pod-z", "10ms")?;
    tokio::time::sleep(Duration::from_secs(75)).await;
    let text = client.scrape()?;
    assert!(Scrape(&text).assigned() == 0, "all partitions are taken: {text}");
    record("no-partitions-75s", &text)
}
