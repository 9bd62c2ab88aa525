//! The files in `deploy/`, and promtool to check the rules in them.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use kcg_devcluster::{Tools, tools};
use tempfile::TempDir;
use tokio::process::Command;

/// A path in this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// A path below `deploy/`.
pub fn deploy(path: &str) -> PathBuf {
    repository("deploy").join(path)
}

/// A folder with a copy of `deploy/`, in which a shell has run a script.
pub async fn deploy_copy(script: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let script = format!("cp -r \"$1\" deploy\n{script}");
    let mut shell = Command::new("sh");
    shell.args(["-euc", &script, "sh"]).arg(deploy("")).current_dir(folder.path());
    let output = shell.output().await?;
    ensure!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(folder)
}

/// Runs promtool in `folder`; fails with its output.
pub async fn promtool(folder: &Path, args: &[&str]) -> Result<()> {
    let program = Tools::promtool(&tools::to_stderr).await?;
    let output = Command::new(program).args(args).current_dir(folder).output().await?;
    let printed = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "promtool {}:\n{}", args.join(" "), String::from_utf8_lossy(&printed));
    Ok(())
}
