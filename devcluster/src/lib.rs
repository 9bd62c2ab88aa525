//! A real Kubernetes control plane on this computer, for tests, demos and development.
//!
//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok are the real programs, built once
//! from pinned Go modules or found where a person has them ([`Parts`]). A [`ControlPlane`] starts in seconds,
//! has its ports and folder to itself, and leaves nothing behind however its process ends.

pub mod audit;
mod background;
mod cache;
mod components;
mod control_plane;
mod crds;
mod credentials;
mod error;
mod guest;
mod https;
mod interrupts;
mod kafka;
mod kubectl;
mod metrics_adapter;
mod metrics_api;
mod monitoring;
mod mutex;
mod node;
mod operator;
pub mod parts;
pub mod pki;
mod plain_http;
pub mod pod_network;
mod port;
mod process;
mod site;
pub mod wait;
mod watcher;

pub use control_plane::{Builder, ControlPlane, LOG_FOLDER};
pub use crds::{Crds, KafkaTopicCrd, kafka_topics};
pub use error::{Error, Result};
pub use guest::Guest;
pub use interrupts::{Interrupt, Interrupts};
pub use kafka::{Group, Kafka, KafkaObserver, PartitionLag, TopicSynchroniser};
pub use kubectl::{Answer, Kubectl};
pub use metrics_adapter::MetricsAdapter;
pub use metrics_api::MetricsApi;
pub use monitoring::{Alert, AlertState, Monitoring, Sample, Series};
pub use node::{Images, Node, Run};
pub use operator::{
    Balancer, Certificates, Files, OPERATOR_BINARY, Operator, Programs, Replica, Volume, build_operator,
};
pub use parts::Parts;
pub use port::Port;
pub use process::Process;
pub use site::{Site, deploy_folder};
