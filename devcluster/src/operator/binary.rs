//! The operator's own program: named by a person, or built by cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::{Error, Result};

/// The operator's program, where a person wants another one than cargo builds.
pub const OPERATOR_BINARY: &str = "KCG_OPERATOR_BIN";
const NAME: &str = "kconsumer-group-operator";

/// A line of cargo's report that names a built program.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

/// The program from the environment, or built from this workspace; cargo's own words go to standard error.
pub async fn build_operator() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OPERATOR_BINARY) {
        return Ok(PathBuf::from(path));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(&cargo)
        .args(["build", "--package", NAME, "--bin", NAME, "--message-format=json-render-diagnostics"])
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| Error::Start { program: cargo.to_string_lossy().into_owned(), source })?;
    let report = String::from_utf8_lossy(&output.stdout);
    let built = report
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok()?.executable)
        .find(|path| path.file_stem().is_some_and(|stem| stem == NAME));
    let failed =
        || Error::Command { command: format!("cargo build --bin {NAME}"), output: "see above".into() };
    built.filter(|_| output.status.success()).ok_or_else(failed)
}
