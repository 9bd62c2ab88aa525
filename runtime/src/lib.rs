//! What both processes, controller and webhook, stand on. Floor 2 (I/O shell).
//!
//! - [`follow`]: a watch kept as small facts: a [`follow::Follower`] of a [`follow::Source`] tells its owner each
//!   [`follow::Change`]; its [`follow::Pulse`] says how it is doing.
//! - [`discovery`]: kinds that a cluster may lack, get and lose while we run.
//! - [`topics`]: the KafkaTopic follower that both processes share.
//! - [`probes`]: the second port with /healthz, /readyz and /metrics; [`probes::Readiness`] and its gates.
//! - [`lease`]: leader election; [`lease::Leadership::still_held`] right before each write.
//! - [`calls`]: the client, the deadline of each request and the count of them.
//!
//! ```no_run
//! # use std::{collections::HashMap, sync::{Arc, Mutex}};
//! # use k8s_openapi::api::core::v1::Pod;
//! # use kcg_runtime::{calls::{Access, Requests}, follow::{Change, Follower, Key, Projection, Scope, Source}};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let requests = Requests::default();
//! let client = Access::new(None, "kconsumer-group-operator/0.1.0").client(&requests).await?;
//! let phase = Projection::of(|pod: Pod| pod.status.and_then(|status| status.phase).unwrap_or_default());
//! let source = Source::typed::<Pod>(Scope::All).labels("app.kubernetes.io/managed-by=somebody");
//! let follower = Follower::new("pods", client, source, phase);
//! let pulse = follower.pulse();
//! let phases = Arc::new(Mutex::new(HashMap::<Key, String>::new()));
//! tokio::spawn(follower.run(tokio_util::sync::CancellationToken::new(), move |change| match change {
//!     Change::Applied(key, phase) => drop(phases.lock().unwrap().insert(key, phase)),
//!     Change::Deleted(key) => drop(phases.lock().unwrap().remove(&key)),
//!     Change::Unparsable(..) | Change::Synced | Change::State(_) | Change::Served(_) => {}
//! }));
//! println!("{} s old, synced: {}", pulse.age().as_secs(), pulse.synced());
//! # Ok(())
//! # }
//! ```

pub mod calls;
pub mod discovery;
pub mod follow;
pub mod lease;
pub mod probes;
pub mod topics;
