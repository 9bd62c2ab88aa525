//! The parts of a Kubernetes controller that do not depend on what it controls: watches that keep
//! small facts, a client with deadlines, leader election, and the ports for probes and metrics.
//!
//! - [`watch`]: a [`watch::Watcher`] lists and watches one kind and passes each [`watch::Event`] to
//!   a handler; [`watch::WatchHealth`] reports whether the facts are complete and how old they may
//!   be.
//! - [`discovery`]: kinds that a cluster may not serve, or may start or stop serving at any time.
//! - [`client`]: a client without retries; a deadline and a metric for each request.
//! - [`lease`]: leader election; check [`lease::Leadership::still_held`] right before each write.
//! - [`probes`]: /healthz and /readyz on a port and a thread of their own.
//! - [`metrics`]: /metrics on another one.
//! - [`listen`]: sockets that accept IPv4 and IPv6.
//! - [`peer`]: what the limits of a listener count as one client.
//! - [`config_file`]: a file of settings whose last good content stays in force.
//! - [`bounded_text`]: text from files and streams, with a bound.
//! - [`backoff`]: exponential backoff with jitter.
//!
//! *Invariant:* this crate knows no kind, label or metric prefix of the program that uses it; they
//! are arguments. It depends on no other crate of the workspace.
//!
//! *Invariant:* each request has a deadline and nothing below the caller retries, so the caller
//! decides when to retry.
//!
//! *Invariant:* an object that does not parse is one event; it never stops a watch or hides another
//! object.
//!
//! *Invariant:* the decisions (`backoff`, `watch::known_keys`, `watch::availability`,
//! `lease::step`, `lease::record`) are pure: time and randomness are arguments.
//!
//! ```no_run
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//!
//! use k8s_openapi::api::core::v1::Pod;
//! use kcg_runtime::client::{ClientConfig, RequestMetrics};
//! use kcg_runtime::watch::{Event, ObjectKey, Scope, Transform, WatchSpec, Watcher};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let metrics = RequestMetrics::default();
//! let client = ClientConfig::new(None, "example/1.0").client(&metrics).await?;
//!
//! // Keep only the phase of each pod.
//! let spec = WatchSpec::typed::<Pod>(Scope::All).labels("app.kubernetes.io/managed-by=example");
//! let phase = Transform::new(|pod: Pod| pod.status.and_then(|status| status.phase).unwrap_or_default());
//! let watcher = Watcher::new("pods", client, spec, phase);
//!
//! let health = watcher.health();
//! let phases = Arc::new(Mutex::new(HashMap::<ObjectKey, String>::new()));
//! tokio::spawn(watcher.run(CancellationToken::new(), move |event| match event {
//!     Event::Applied(key, phase) => drop(phases.lock().unwrap().insert(key, phase)),
//!     Event::Deleted(key) => drop(phases.lock().unwrap().remove(&key)),
//!     Event::Unparsable(..) | Event::Listed(_) | Event::Synced | Event::StateChanged(_) | Event::Served(_) => {}
//! }));
//! println!("complete: {}, at most {} s old", health.synced(), health.age().as_secs());
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs, unreachable_pub)]

pub mod backoff;
pub mod bounded_text;
pub mod client;
pub mod config_file;
pub mod discovery;
mod http_server;
pub mod lease;
pub mod listen;
pub mod metrics;
pub mod peer;
pub mod probes;
pub mod string_interner;
pub mod timestamp_gauge;
pub mod watch;
