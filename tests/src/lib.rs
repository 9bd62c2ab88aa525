//! The harness of the tests that need a control plane or the operator's binary.
//!
//! A test starts a control plane ([`env`](mod@env)), works in a [`namespace`] or with [`kubectl`],
//! and waits with [`eventually`](fn@eventually). Every wait ends at a limit and then fails with
//! what it last saw.
#![warn(missing_docs, unreachable_pub)]
#![allow(clippy::missing_panics_doc, reason = "a test panics if it fails")]
#![allow(missing_debug_implementations, reason = "kube's client has none")]

pub mod audit;
pub mod certificate;
mod changes;
mod deploy;
pub mod env;
mod environment;
mod eventually;
pub mod faults;
pub mod helm;
pub mod kubectl;
pub mod legal_pod;
pub mod load;
mod metrics;
pub mod namespace;
pub mod objects;
mod slope;
pub mod strimzi;

use std::path::{Path, PathBuf};

use kcg_devcluster::{build_operator, tools};
use tokio::sync::OnceCell;

pub use changes::{Change, changes};
pub use deploy::{deploy, deploy_copy, promtool, repository};
pub use environment::variable;
pub use eventually::{eventually, met};
pub use metrics::{counted_requests, metric};
pub use slope::slope;

/// The result of a test, and of a step in one. `?` takes any error, a text too.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The operator's binary: `KCG_OPERATOR_BIN` if it is set, else built from this workspace, once per
/// process.
pub async fn operator_binary() -> kcg_devcluster::Result<&'static Path> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_try_init(build_operator).await.map(PathBuf::as_path)
}

/// Whether tests that have a short and a long form run in the long one.
pub fn is_long() -> bool {
    std::env::var_os("KCG_LONG").is_some()
}

/// Prints a measurement after the name of the running test, even if the output of tests is
/// captured.
pub fn measured(what: &str) {
    let thread = std::thread::current();
    tools::to_stderr(&format!("{}: {what}", thread.name().unwrap_or("tests")));
}
