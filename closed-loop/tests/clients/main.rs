//! What the example consumers export on a real Kafka, without Kubernetes: each has the metrics that
//! the presets for it name, and an idle one has a lag of 0.

mod record;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kcg_api::preset::Preset;
use kcg_closed_loop::tools::consumers::{JMX, JavaConsumer, SPRING, SPRING_BOOT_3};
use kcg_closed_loop::{Kafka, Programs};
use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{Port, Process, wait};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(30);
/// Micrometer looks for new partitions once a minute.
const METRICS_INTERVAL: Duration = Duration::from_mins(1);
const METRICS_LIMIT: Duration = Duration::from_mins(3);
const PARTITIONS: i32 = 3;
/// The names in Kafka, and the one that the Java client makes of a dot.
const TOPICS: [&str; 2] = ["orders", "shop.orders"];
const WITHOUT_DOT: &str = "shop_orders";

/// What a consumer exports.
struct Expected {
    presets: &'static [Preset],
    path: &'static str,
    /// The topics in its metrics.
    topics: &'static [&'static str],
    /// The paths of its other probes. Each preset's readiness probe has to succeed, too.
    probes: &'static [&'static str],
}

const SPRING_4: Expected = Expected {
    presets: &[Preset::Spring],
    path: "/actuator/prometheus",
    topics: &["orders", "shop.orders", WITHOUT_DOT],
    probes: &["/actuator/health/liveness"],
};
/// Its client is older than 4.1.
const SPRING_3: Expected = Expected { topics: &["orders", WITHOUT_DOT], ..SPRING_4 };
const JMX_EXPORTER: Expected =
    Expected { presets: &[Preset::JmxExporter], path: "/metrics", topics: SPRING_4.topics, probes: &[] };
const RUST: Expected = Expected {
    presets: &[Preset::Spring, Preset::Librdkafka],
    path: "/metrics",
    topics: &TOPICS,
    probes: &["/readyz", "/healthz", "/actuator/health/liveness"],
};

/// A running consumer, in a group of its own.
struct Running {
    name: &'static str,
    expected: Expected,
    port: Port,
    process: Process,
}

impl Running {
    fn start(
        name: &'static str,
        expected: Expected,
        port: Port,
        mut command: Command,
        kafka: &Kafka,
        folder: &Path,
    ) -> Outcome<Self> {
        command
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers())
            .env("KAFKA_TOPICS", TOPICS.join(","))
            .env("KAFKA_GROUP_ID", name)
            .env("KCONSUMER_METRICS_ADDR", format!("127.0.0.1:{port}"))
            .env("SERVER_PORT", port.to_string());
        let process = Process::start_command(name, command, folder.join(format!("{name}.log")))?;
        Ok(Self { name, expected, port, process })
    }

    async fn java(
        name: &'static str,
        expected: Expected,
        consumer: JavaConsumer,
        env: &[(&str, &str)],
        kafka: &Kafka,
        folder: &Path,
    ) -> Outcome<Self> {
        let port = Port::take()?;
        let words = consumer.command(port.number(), &to_stderr).await?;
        let (program, args) = words.split_first().ok_or("no words")?;
        let mut command = Command::new(program);
        command.args(args).envs(env.iter().copied());
        Self::start(name, expected, port, command, kafka, folder)
    }

    /// What is still missing of what is expected.
    fn missing(&self) -> Result<(), String> {
        let Expected { presets, path, topics, probes } = self.expected;
        let of_presets = presets.iter().filter_map(|preset| preset.readiness_path(path));
        for probe in probes.iter().map(|probe| (*probe).to_owned()).chain(of_presets) {
            let (code, body) = get(&self.port, &probe).map_err(|error| error.to_string())?;
            if code != 200 {
                return Err(format!("{probe} is {code}: {body}"));
            }
        }
        let (_, text) = get(&self.port, path).map_err(|error| error.to_string())?;
        presets.iter().try_for_each(|preset| is_idle(&text, *preset, topics))
    }
}

/// The status code and the body of a GET.
fn get(port: &Port, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((LOOPBACK, port.number()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.unwrap_or_default(), body.to_owned()))
}

/// Whether the metrics are those of a client that has all partitions and nothing to read.
fn is_idle(text: &str, preset: Preset, topics: &[&str]) -> Result<(), String> {
    let metrics = preset.client_metrics();
    let assigned: f64 = series(text, metrics.assigned_partitions).map(|(_, value)| value).sum();
    let lag: BTreeSet<String> = series(text, metrics.records_lag)
        .map(|(labels, value)| {
            let [topic, partition] =
                ["topic", "partition"].map(|name| label(labels, name).unwrap_or_default());
            format!("{topic}/{partition} {value}")
        })
        .collect();
    let wanted: BTreeSet<String> = topics
        .iter()
        .flat_map(|topic| (0..PARTITIONS).map(move |partition| format!("{topic}/{partition} 0")))
        .collect();
    let polls: Vec<f64> = series(text, metrics.last_poll_seconds_ago).map(|(_, value)| value).collect();
    let polled = !polls.is_empty() && polls.iter().all(|seconds| (0.0..=10.0).contains(seconds));
    let consumed = series(text, metrics.records_consumed).any(|(_, value)| value > 0.0);
    let former = series(text, metrics.former_lag).next().is_some();
    let seen = (assigned, &lag, polled, consumed, former);
    let all = f64::from(PARTITIONS) * 2.0;
    if seen == (all, &wanted, true, true, true) { Ok(()) } else { Err(format!("{preset:?}: {seen:?}")) }
}

/// The labels and the values of a metric.
fn series<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        Some((labels, value.trim().parse().ok()?))
    })
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Creates the topics, and returns a producer for them.
async fn create_topics(kafka: &Kafka) -> Outcome<FutureProducer> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap_servers());
    let administrator: AdminClient<_> = settings.create()?;
    let topics = TOPICS.map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)));
    administrator.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(LIMIT))).await?;
    Ok(settings.create()?)
}

/// Sends records to each partition.
async fn fill(producer: &FutureProducer) -> Outcome {
    for topic in TOPICS {
        for partition in (0..PARTITIONS).cycle().take(60) {
            let record = FutureRecord::<str, str>::to(topic).partition(partition).payload("bar-1");
            producer.send(record, LIMIT).await.map_err(|(error, _)| error)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_consumer_exports_the_metrics_of_its_preset_and_an_idle_one_has_no_lag() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (folder, programs) = (folder.path(), Programs::build().await?);
    let kafka = &Kafka::start(folder, LOOPBACK).await?;
    let producer = create_topics(kafka).await?;
    fill(&producer).await?;
    // Spring Boot turns on its probes by itself if these are set.
    let kubernetes = &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "443")];
    let mut running = vec![
        Running::java("spring-boot-4", SPRING_4, SPRING, &[], kafka, folder).await?,
        Running::java("spring-boot-3", SPRING_3, SPRING_BOOT_3, &[], kafka, folder).await?,
        Running::java("spring-boot-3-in-kubernetes", SPRING_3, SPRING_BOOT_3, kubernetes, kafka, folder)
            .await?,
        Running::java("jmx", JMX_EXPORTER, JMX, &[], kafka, folder).await?,
    ];
    let program = programs.iter().find(|(name, _)| *name == "kconsumer").ok_or("no kconsumer")?.1;
    running.push(Running::start("rust", RUST, Port::take()?, Command::new(program), kafka, folder)?);
    for consumer in running {
        let what = format!("the metrics of {}", consumer.name);
        let mut filled = Instant::now();
        wait::until(&what, METRICS_LIMIT, async || {
            consumer.process.must_run()?;
            let missing = consumer.missing();
            // A Java client that gets a partition back in a rebalance may export no lag of it until
            // it fetches another record.
            if missing.is_err() && filled.elapsed() > METRICS_INTERVAL {
                fill(&producer).await.expect("Kafka takes records");
                filled = Instant::now();
            }
            Ok(missing)
        })
        .await?;
    }
    Ok(())
}
