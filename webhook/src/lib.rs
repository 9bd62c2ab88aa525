//! The admission server of KconsumerGroups: AdmissionReviews come in over TLS, verdicts go out.
//!
//! Floors, from the bottom: [`admit`] decides (1), [`folder`] reads the certificate and [`topics`] keeps the topics (2),
//! [`review`] and [`server`] speak to the API server, [`process`] joins it all (3).
//!
//! ```no_run
//! # async fn main_of_the_webhook(settings: kcg_webhook::Settings, client: kube::Client) -> Result<(), kcg_webhook::StartError> {
//! let stop = tokio_util::sync::CancellationToken::new(); // cancelled on SIGTERM
//! let registry = kcg_runtime::probes::registry("example", "1.0");
//! kcg_webhook::Process::bind(settings).await?.run(client, registry, stop).await
//! # }
//! ```

pub mod admit;
pub mod folder;
mod mapping;
pub mod metrics;
pub mod process;
pub mod review;
pub mod server;
pub mod throttle;
pub mod topics;

pub use process::{Process, Settings, StartError};
