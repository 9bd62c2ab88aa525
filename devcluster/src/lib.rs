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
pub mod https;
mod interrupts;
mod kubectl;
mod metrics_api;
mod mutex;
mod operator;
pub mod parts;
pub mod pki;
pub mod plain_http;
pub mod pod_network;
mod port;
mod process;
mod site;
pub mod wait;
mod watcher;

pub use background::Background;
pub use control_plane::{Builder, ControlPlane, LOG_FOLDER, client_for};
pub use crds::{Crds, KafkaTopicCrd, kafka_topics};
pub use error::{Error, Result};
pub use guest::Guest;
pub use interrupts::{Interrupt, Interrupts};
pub use kubectl::{Answer, Kubectl};
pub use metrics_api::MetricsApi;
pub use operator::{
    Balancer, Certificates, Files, OPERATOR, OPERATOR_BINARY, Operator, Replica, Volume, build_operator,
    cargo_build,
};
pub use parts::Parts;
pub use port::Port;
pub use process::Process;
pub use site::{Site, deploy_folder};
