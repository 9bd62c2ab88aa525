//! A real broker, and the KafkaTopics that create its topics.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use kcg_closed_loop::{Kafka, KafkaObserver, PartitionLag, TopicSynchroniser};
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd, wait};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(30);

/// A control plane, a broker, and a synchroniser between them.
struct Fixture {
    plane: ControlPlane,
    kafka: Kafka,
    observer: KafkaObserver,
    api_version: &'static str,
    _synchroniser: TopicSynchroniser,
}

impl Fixture {
    async fn start(served: KafkaTopicCrd) -> kcg_devcluster::Result<Self> {
        let crds = Crds { kafka_topic: served, ..Crds::default() };
        let plane =
            ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
        let kafka = Kafka::start(plane.folder(), LOOPBACK).await?;
        let observer = KafkaObserver::new(&kafka.bootstrap_servers())?;
        let synchroniser = TopicSynchroniser::start(&plane, &kafka, None)?;
        let api_version = if served == KafkaTopicCrd::V1beta2 { "v1beta2" } else { "v1" };
        Ok(Self { plane, kafka, observer, api_version, _synchroniser: synchroniser })
    }

    /// Applies a KafkaTopic with this spec, as JSON.
    async fn apply(&self, name: &str, spec: &str) -> kcg_devcluster::Result<()> {
        let topic = format!(
            r#"{{"apiVersion": "kafka.strimzi.io/{}", "kind": "KafkaTopic", "metadata": {{"name": "{name}", "namespace": "default"}}, "spec": {spec}}}"#,
            self.api_version
        );
        self.plane.apply_yaml(&topic).await
    }

    /// Waits until the KafkaTopic's Ready condition has this status and reason for its current
    /// generation; returns the status.
    async fn status(&self, name: &str, ready: &str, reason: Option<&str>) -> kcg_devcluster::Result<Value> {
        let what = format!("Ready={ready} {reason:?} of {name}");
        wait::until(&what, LIMIT, async || {
            let seen = self.plane.kubectl(&["get", "kafkatopic", name, "-o", "json"]).await?.ok()?;
            let topic: Value = serde_json::from_str(&seen).unwrap_or_default();
            let (status, condition) = (&topic["status"], &topic["status"]["conditions"][0]);
            let matches = status["observedGeneration"] == topic["metadata"]["generation"]
                && condition["type"] == "Ready"
                && condition["status"] == ready
                && condition["reason"].as_str() == reason;
            Ok(if matches { Ok(status.clone()) } else { Err(status.to_string()) })
        })
        .await
    }

    /// Waits until Kafka has exactly these topics, with these numbers of partitions.
    async fn topics(&self, topics: &[(&str, i32)]) -> kcg_devcluster::Result<()> {
        wait::until(&format!("the topics {topics:?}"), LIMIT, async || {
            let seen = self.observer.topics().await?;
            let same = seen.iter().map(|(name, count)| (name.as_str(), *count)).eq(topics.iter().copied());
            Ok(if same { Ok(()) } else { Err(format!("there are {seen:?}")) })
        })
        .await
    }
}

#[tokio::test]
async fn a_kafka_topic_creates_a_topic_that_grows_and_never_shrinks() -> Outcome {
    let fixture = Fixture::start(KafkaTopicCrd::Both).await?;
    fixture.apply("orders", r#"{"partitions": 1, "config": {"retention.ms": 60000}}"#).await?;
    let created = fixture.status("orders", "True", None).await?;
    assert_eq!(
        (created["topicName"].as_str(), created["topicId"].as_str().map(str::len)),
        (Some("orders"), Some(22))
    );
    fixture.topics(&[("orders", 1)]).await?;

    fixture.apply("orders", r#"{"partitions": 3}"#).await?;
    let grown = fixture.status("orders", "True", None).await?;
    assert_eq!((&grown["topicId"], &grown["conditions"]), (&created["topicId"], &created["conditions"]));
    fixture.topics(&[("orders", 3)]).await?;

    fixture.apply("orders", r#"{"partitions": 2}"#).await?;
    let rejected = fixture.status("orders", "False", Some("NotSupported")).await?;
    assert_eq!(rejected["conditions"][0]["message"], "Decreasing partitions not supported");
    fixture.apply("big", r#"{"replicas": 2}"#).await?;
    fixture.status("big", "False", Some("KafkaError")).await?;
    fixture.topics(&[("orders", 3)]).await?;

    // A name of its own in Kafka. A deleted and recreated KafkaTopic is another topic.
    fixture.plane.kubectl(&["delete", "kafkatopic", "orders", "big"]).await?.ok()?;
    fixture.topics(&[]).await?;
    fixture.apply("orders", r#"{"partitions": 1, "topicName": "Orders_1"}"#).await?;
    let named = fixture.status("orders", "True", None).await?;
    assert_eq!(named["topicName"], "Orders_1");
    assert_ne!(named["topicId"], created["topicId"]);
    fixture.topics(&[("Orders_1", 1)]).await?;
    fixture.apply("orders", r#"{"partitions": 1, "topicName": "Orders_2"}"#).await?;
    fixture.status("orders", "False", Some("NotSupported")).await?;
    Ok(())
}

#[tokio::test]
async fn a_topic_lost_in_kafka_is_recreated_and_unmanaged_topics_are_kept() -> Outcome {
    let fixture = Fixture::start(KafkaTopicCrd::V1beta2).await?;
    fixture.apply("orders", r#"{"partitions": 1}"#).await?;
    let created = fixture.status("orders", "True", None).await?;
    let annotate = async |name: &str, annotation: &str| -> kcg_devcluster::Result<()> {
        fixture.plane.kubectl(&["annotate", "kafkatopic", name, annotation]).await?.ok().map(drop)
    };
    let wait_for = async |name: &str, condition: &str| {
        let condition = format!("--for=condition={condition}");
        fixture
            .plane
            .kubectl(&["wait", "kafkatopic", name, &condition, "--timeout=30s"])
            .await?
            .ok()
            .map(drop)
    };

    fixture.apply("paused", r#"{"partitions": 1}"#).await?;
    wait_for("paused", "Ready").await?;
    annotate("paused", "strimzi.io/pause-reconciliation=true").await?;
    wait_for("paused", "ReconciliationPaused").await?;
    fixture.apply("paused", r#"{"partitions": 2}"#).await?;
    fixture.apply("kept", r#"{"partitions": 1}"#).await?;
    wait_for("kept", "Ready").await?;
    annotate("kept", "strimzi.io/managed=false").await?;
    wait_for("kept", "Unmanaged").await?;
    fixture.plane.kubectl(&["delete", "kafkatopic", "kept"]).await?.ok()?;

    let administrator: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", fixture.kafka.bootstrap_servers()).create()?;
    administrator.delete_topics(&["orders"], &AdminOptions::new()).await?;
    let recreated = wait::until("another topic", LIMIT, async || {
        let status = fixture.status("orders", "True", None).await?;
        Ok(if status["topicId"] == created["topicId"] { Err("it is the old one".into()) } else { Ok(status) })
    });
    assert_eq!(recreated.await?["topicName"], "orders");
    fixture.topics(&[("kept", 1), ("orders", 1), ("paused", 1)]).await?;
    Ok(())
}

#[tokio::test]
async fn the_observer_reports_the_lag_of_a_group() -> Outcome {
    let folder = tempfile::tempdir()?;
    let kafka = Kafka::start(folder.path(), LOOPBACK).await?;
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap_servers());
    let administrator: AdminClient<_> = settings.create()?;
    let topic = NewTopic::new("orders", 2, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    administrator.create_topics([&topic], &options).await?;
    let producer: FutureProducer = settings.create()?;
    for _ in 0..5 {
        let record = FutureRecord::<str, str>::to("orders").partition(1).payload("message");
        producer.send(record, LIMIT).await.map_err(|(error, _)| error)?;
    }
    let observer = KafkaObserver::new(&kafka.bootstrap_servers())?;
    assert_eq!(observer.group("readers").await?, None);

    let reader: StreamConsumer = settings
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    reader.subscribe(&["orders"])?;
    for _ in 0..2 {
        reader.commit_message(&reader.recv().await?, CommitMode::Sync)?;
    }
    let lag = observer.lag("orders", "readers").await?;
    assert_eq!(
        lag.iter().map(|of| (of.partition, of.end, of.committed)).collect::<Vec<_>>(),
        [(0, 0, None), (1, 5, Some(2))]
    );
    assert_eq!(lag.iter().map(PartitionLag::messages).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(observer.ends("orders").await?, [(0, 0), (1, 5)].into());
    let group = observer.group("readers").await?.ok_or("no group")?;
    assert_eq!((group.state.as_str(), group.members.len()), ("Stable", 1));
    assert!(observer.lag("nothing", "readers").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_topic_survives_its_broker_and_changes_are_applied_after_a_restart() -> Outcome {
    let fixture = Fixture::start(KafkaTopicCrd::V1).await?;
    fixture.apply("orders", r#"{"partitions": 1}"#).await?;
    let created = fixture.status("orders", "True", None).await?;
    fixture.kafka.kill();
    assert_eq!(fixture.kafka.pid(), None);
    fixture.apply("orders", r#"{"partitions": 2}"#).await?;
    fixture.status("orders", "False", Some("KafkaError")).await?;
    fixture.kafka.start_again().await?;
    let grown = fixture.status("orders", "True", None).await?;
    assert_eq!(grown["topicId"], created["topicId"]);
    fixture.topics(&[("orders", 2)]).await?;
    fixture.kafka.stop().await?;
    fixture.kafka.start_again().await?;
    fixture.topics(&[("orders", 2)]).await?;
    Ok(())
}
