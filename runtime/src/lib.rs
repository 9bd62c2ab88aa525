//! What both processes, controller and webhook, stand on. Floor 2 (I/O shell).
//!
//! - [`watch`]: a watch kept as small facts: a [`watch::Watcher`] of a [`watch::WatchSpec`] tells its owner each
//!   [`watch::Event`]; its [`watch::WatchHealth`] says how it is doing.
//! - [`discovery`]: kinds that a cluster may lack, get and lose while we run.
//! - [`probes`]: the second port with /healthz, /readyz and /metrics; [`probes::Readiness`] and its gates.
//! - [`lease`]: leader election; [`lease::Leadership::still_held`] right before each write.
//! - [`client`]: the client, the deadline of each request and the count of them.
//!
//! ```no_run
//! # use std::{collections::HashMap, sync::{Arc, Mutex}};
//! # use k8s_openapi::api::core::v1::Pod;
//! # use kcg_runtime::{client::{ClientConfig, RequestMetrics}, watch::{Event, Watcher, ObjectKey, Transform, Scope, WatchSpec}};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let requests = RequestMetrics::default();
//! let client = ClientConfig::new(None, "kconsumer-group-operator/0.1.0").client(&requests).await?;
//! let phase = Transform::new(|pod: Pod| pod.status.and_then(|status| status.phase).unwrap_or_default());
//! let spec = WatchSpec::typed::<Pod>(Scope::All).labels("app.kubernetes.io/managed-by=somebody");
//! let watcher = Watcher::new("pods", client, spec, phase);
//! let health = watcher.health();
//! let phases = Arc::new(Mutex::new(HashMap::<ObjectKey, String>::new()));
//! tokio::spawn(watcher.run(tokio_util::sync::CancellationToken::new(), move |event| match event {
//!     Event::Applied(key, phase) => drop(phases.lock().unwrap().insert(key, phase)),
//!     Event::Deleted(key) => drop(phases.lock().unwrap().remove(&key)),
//!     Event::Unparsable(..) | Event::Synced | Event::StateChanged(_) | Event::Served(_) => {}
//! }));
//! println!("{} s old, synced: {}", health.age().as_secs(), health.synced());
//! # Ok(())
//! # }
//! ```

mod backoff;
pub mod client;
pub mod discovery;
pub mod lease;
pub mod probes;
pub mod watch;
