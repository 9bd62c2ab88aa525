//! What the controller is started with, and why it may end.

use std::sync::Arc;

use kcg_api::valid::TopicGrants;
use kcg_runtime::lease::{Candidate, Timings, UnsafeTimings};
use kcg_runtime::listen::{BindAddress, ListenError};
use kcg_webhook::group_defaults::DefaultsFile;

use crate::cert_rotator::CertRotatorConfig;
use crate::cluster::Scopes;

/// The configuration of the controller.
#[derive(Debug)]
pub struct ControllerConfig {
    /// The namespaces of the groups and of their topics.
    pub scopes: Scopes,
    /// The namespaces in which a group may use topics.
    pub grants: TopicGrants,
    /// A stored spec of more bytes as compact JSON gets a warning.
    pub max_spec_bytes: usize,
    /// The file with the defaults of the installation. Until it can be used, nothing is reconciled.
    pub defaults: Arc<DefaultsFile>,
    /// The address of /metrics, over plain HTTP; `None`: it is not served.
    pub metrics_bind_address: Option<BindAddress>,
    /// The address of /healthz and /readyz, over plain HTTP; `None`: they are not served.
    pub health_probe_bind_address: Option<BindAddress>,
    /// The identity of this process in the leader election.
    pub candidate: Candidate,
    /// The timings of the leader election; `None`: this process leads without one.
    pub election: Option<Timings>,
    /// Set if the operator issues the webhook's certificate itself.
    pub certificates: Option<CertRotatorConfig>,
}

/// Why the controller ends without a signal.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A port could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The timings of the leader election are unsafe.
    #[error(transparent)]
    Timings(#[from] UnsafeTimings),
    /// A task ended that should run for ever.
    #[error("{0} stopped unexpectedly; restart the process")]
    Ended(&'static str),
}
