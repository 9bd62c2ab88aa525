//! Creates Kafka's topics from KafkaTopics: a stand-in for Strimzi's topic operator, which no
//! registry publishes as a program. It keeps that operator's contract for KafkaTopics. It has no
//! users, no Cruise Control and no moves of replicas.

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

/// The label that assigns a KafkaTopic to one of several Kafka clusters.
const CLUSTER_LABEL: &str = "strimzi.io/cluster";
/// The interval between retries.
const RETRY: Duration = Duration::from_secs(1);

/// The running synchroniser, on its own thread. Dropping it ends it; topics and KafkaTopics stay.
#[derive(Debug)]
pub struct TopicSynchroniser {
    _background: Background,
}

impl TopicSynchroniser {
    /// The sentence that a demo prints about it.
    pub const STAND_IN: &str = "a stand-in for Strimzi's topic operator, which no registry publishes as a program; it keeps that \
                                operator's contract";

    /// Synchronises the KafkaTopics of all namespaces, in the served version. With `cluster`, only
    /// those with that value of the label strimzi.io/cluster.
    pub fn start(plane: &ControlPlane, kafka: &Kafka, cluster: Option<&str>) -> Result<Self> {
        let background = Background::start()?;
        let kubeconfig = plane.kubeconfig_path().to_owned();
        let broker = Broker::new(kafka)?;
        let selection = cluster.map_or_else(watcher::Config::default, |name| {
            watcher::Config::default().labels(&format!("{CLUSTER_LABEL}={name}"))
        });
        background.spawn(async move {
            // This fails only when the cluster has ended, and this task ends with it.
            let Ok(client) = client_for(&kubeconfig).await else { return };
            let mut last_error = String::new();
            loop {
                // It returns if the API server is unavailable or serves another version than
                // before.
                if let Err(error) = Session::run(&client, &broker, &selection).await {
                    let error = error.to_string();
                    if error != last_error {
                        eprintln!("closed-loop: cannot synchronise KafkaTopics, will retry: {error}");
                        last_error = error;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        Ok(Self { _background: background })
    }
}
