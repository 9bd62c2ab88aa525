//! A real broker, and KafkaTopics that become its topics.

use std::net::{IpAddr, Ipv4Addr};

use kcg_devcluster::{Kafka, KafkaObserver};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn broker_ends_and_starts_again_at_its_address() -> Outcome {
    let folder = tempfile::tempdir()?;
    let kafka = Kafka::start(folder.path(), LOOPBACK).await?;
    let observer = KafkaObserver::new(&kafka.bootstrap_servers())?;
    assert!(observer.topics().await?.is_empty());
    kafka.stop().await?;
    assert_eq!(kafka.pid(), None);
    kafka.start_again().await?;
    assert!(observer.topics().await?.is_empty());
    Ok(())
}
