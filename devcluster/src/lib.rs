//! A real Kubernetes control plane on this computer, for tests, demos and development.
//!
//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok are the real programs.
//! They are built once from pinned Go modules, or taken from a folder of the user ([`Tools`]). A
//! [`ControlPlane`] starts in seconds, has its own ports and folder, and is removed completely when
//! its process ends for any reason.

#![warn(missing_docs, unreachable_pub)]

pub mod audit;
mod background;
mod components;
mod control_plane;
mod crds;
mod credentials;
mod error;
pub mod https;
mod interrupts;
mod kubectl;
mod metrics_api;
mod operator;
pub mod pki;
pub mod plain_http;
pub mod pod_network;
mod port;
mod process;
mod reaper;
mod test_cluster;
pub mod tools;
pub mod usage;
mod user_command;
mod volume;
pub mod wait;

pub use background::Background;
pub use control_plane::{Builder, ControlPlane, LOG_FOLDER, client_for};
pub use crds::{Crds, KafkaTopicCrd};
pub use error::{Error, Result};
pub use interrupts::{Interrupt, Interrupts};
pub use kubectl::{Kubectl, KubectlOutput};
pub use metrics_api::MetricsApi;
pub use operator::{
    Balancer, CertificateMode, Installation, OPERATOR, OPERATOR_BINARY, Operator, PodRunner, Replica,
    build_operator, cargo, cargo_build,
};
pub use port::Port;
pub use process::Process;
pub use test_cluster::{TestCluster, deploy_folder};
pub use tools::Tools;
pub use user_command::UserCommand;
pub use volume::{Files, ProjectedVolume, select_keys};
