//! The admission webhook of KconsumerGroups: it receives AdmissionReviews over TLS and returns
//! verdicts.
//!
//! - [`admit`] decides; it is pure.
//! - [`cert_watcher`] loads the certificate files, [`client_ca`] the CAs of clients, and [`topics`] caches the KafkaTopics.
//! - [`review`] reads and writes AdmissionReviews; [`server`] is the port that they come through.
//! - [`process`] joins the parts.
//!
//! *Invariant:* no request is made while a review waits. [`admit::Admission::admit`] is not async,
//! and the rules see only the cached topics, so a review takes no longer if the API server is slow.
//!
//! *Invariant:* memory is bounded, whatever clients send. [`server::Limits`] has a bound for
//! everything that a client can make grow or last.
//!
//! ```no_run
//! # async fn run(config: kcg_webhook::WebhookConfig, client: kube::Client) -> Result<(), kcg_webhook::StartError> {
//! let stop = tokio_util::sync::CancellationToken::new(); // cancelled on SIGTERM
//! let registry = kcg_runtime::metrics::registry("example", "1.0");
//! kcg_webhook::Process::bind(config)?.run(client, registry, stop).await
//! # }
//! ```

#![warn(missing_docs, unreachable_pub)]

pub mod admit;
pub mod cert_watcher;
pub mod client_ca;
pub mod group_defaults;
mod log_limit;
pub mod metrics;
pub mod process;
pub mod review;
pub mod server;
pub mod topics;

pub use process::{Process, StartError, WebhookConfig};
