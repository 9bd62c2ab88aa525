//! The programs of this workspace, built by cargo or provided by the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::{Error, Result};

/// The environment variable that names the operator's program. If it is set, cargo does not build
/// one.
pub const OPERATOR_BINARY: &str = "KCG_OPERATOR_BIN";
/// The name of the operator's package and program.
pub const OPERATOR: &str = "kconsumer-group-operator";

/// A JSON message of cargo. Only messages about programs have an executable.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

/// The path of the operator's program: from the environment, or built from this workspace.
pub async fn build_operator() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OPERATOR_BINARY) {
        return Ok(PathBuf::from(path));
    }
    let built = cargo_build(&[OPERATOR]).await?.remove(OPERATOR);
    built.ok_or_else(|| {
        Error::Missing(format!("cargo built no program {OPERATOR}: set {OPERATOR_BINARY} to its path"))
    })
}

/// The cargo that started this process, without the variables that it sets for the running package.
/// Build scripts that read them would be stale in the inner build, and stale again in the next
/// outer build.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// Builds the programs of these packages, each with the name of its package. cargo's messages go to
/// standard error.
pub async fn cargo_build(packages: &[&'static str]) -> Result<BTreeMap<&'static str, PathBuf>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Build in the whole workspace: with --package, the shared dependencies get other features than
    // in the tests, and cargo builds all of them twice.
    let choice = packages.iter().flat_map(|name| ["--bin", name]);
    let failed = |source| Error::Start { program: "cargo".into(), source };
    // Not output(), which would capture standard error as well.
    let output = tokio::process::Command::from(cargo())
        .args(["build", "--locked", "--workspace"])
        .args(choice)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?
        .wait_with_output()
        .await
        .map_err(failed)?;
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
