//! The harness of the tests that need a control plane or the operator's binary.
#![allow(clippy::missing_panics_doc, reason = "a test panics if it fails")]
#![allow(missing_debug_implementations, reason = "kube's client has none")]

pub mod installation;
pub mod load;

use std::path::{Path, PathBuf};

use kcg_devcluster::build_operator;
use tokio::sync::OnceCell;

/// The operator's binary: the one that `KCG_OPERATOR_BIN` names, or built from this workspace, once a process.
pub async fn operator_binary() -> kcg_devcluster::Result<&'static Path> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_try_init(build_operator).await.map(PathBuf::as_path)
}

/// A path of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}
