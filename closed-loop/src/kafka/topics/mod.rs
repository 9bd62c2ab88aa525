//! KafkaTopics become Kafka's topics: a stand-in for Strimzi's topic operator, which no registry publishes as a
//! program. It keeps that operator's contract with whoever reads and writes KafkaTopics, and nothing beyond: no user, no
//! Cruise Control, no move of replicas.

mod broker;
mod contract;
mod session;

use std::time::Duration;

use kcg_devcluster::{Background, ControlPlane, client_for};
use kube::runtime::watcher;

use super::Kafka;
use crate::Result;
use broker::Broker;
use session::Session;

/// Which KafkaTopics are those of one Kafka, where there are several.
const CLUSTER_LABEL: &str = "strimzi.io/cluster";
/// What failed is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

/// The running synchroniser, on a thread of its own; it ends when this is dropped, and leaves topics and KafkaTopics as
/// they are.
#[derive(Debug)]
pub struct TopicSynchroniser {
    _background: Background,
}

impl TopicSynchroniser {
    /// What a demo says about it.
    pub const STAND_IN: &str = "KafkaTopics are brought to Kafka by a stand-in for Strimzi's topic operator, which no \
                                registry publishes as a program; it keeps that operator's contract";

    /// Follows the KafkaTopics of all namespaces from now on, in the version that is served; those of one `cluster` alone
    /// (label strimzi.io/cluster) where one is named.
    pub fn start(plane: &ControlPlane, kafka: &Kafka, cluster: Option<&str>) -> Result<Self> {
        let background = Background::start()?;
        let kubeconfig = plane.kubeconfig_path().to_owned();
        let broker = Broker::new(kafka)?;
        let selection = cluster.map_or_else(watcher::Config::default, |name| {
            watcher::Config::default().labels(&format!("{CLUSTER_LABEL}={name}"))
        });
        background.spawn(async move {
            // The cluster's end is this task's, too: what fails then has nobody left to hear of it.
            let Ok(client) = client_for(&kubeconfig).await else { return };
            let mut told = String::new();
            loop {
                // It returns where the API server is away, or serves another version than before.
                if let Err(error) = Session::run(&client, &broker, &selection).await {
                    let error = error.to_string();
                    if error != told {
                        eprintln!("devcluster: KafkaTopics are not brought to Kafka: {error}; tried again");
                        told = error;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        Ok(Self { _background: background })
    }
}
