//! This workspace's own programs: named by a person, or built by cargo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::{Error, Result};

/// The operator's program, where a person wants another one than cargo builds.
pub const OPERATOR_BINARY: &str = "KCG_OPERATOR_BIN";
/// The operator's package and program.
pub const OPERATOR: &str = "kconsumer-group-operator";

/// A line of cargo's report that names a built program.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

/// The operator's program from the environment, or built from this workspace.
pub async fn build_operator() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OPERATOR_BINARY) {
        return Ok(PathBuf::from(path));
    }
    let built = cargo_build(&[OPERATOR]).await?.remove(OPERATOR);
    built.ok_or_else(|| Error::Missing(format!("cargo built no {OPERATOR}")))
}

/// Builds these packages' programs, each named as its package; cargo's own messages go to standard error.
pub async fn cargo_build(packages: &[&'static str]) -> Result<BTreeMap<&'static str, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Of the whole workspace: chosen alone, a package gets other features of the crates that it shares with the tests, and
    // cargo builds all of them a second time.
    let choice = packages.iter().flat_map(|name| ["--bin", name]);
    let mut command = Command::new(&cargo);
    // What the cargo that started us says of our own package makes build scripts that look at it stale, and all above them:
    // each of the two would build anew what the other one has built.
    for (name, _) in std::env::vars_os() {
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if own.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["build", "--workspace"])
        .args(choice)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| Error::Start { program: cargo.to_string_lossy().into_owned(), source })?;
    if !output.status.success() {
        return Err(Error::Command { command: "cargo build".into(), output: "see above".into() });
    }
    let report = String::from_utf8_lossy(&output.stdout);
    let executables =
        report.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok()?.executable);
    let named = |path: &PathBuf| {
        let stem = path.file_stem()?.to_str()?;
        packages.iter().copied().find(|name| *name == stem)
    };
    Ok(executables.filter_map(|path| Some((named(&path)?, path))).collect())
}
