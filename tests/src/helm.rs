//! The Helm charts in `deploy/`, and helm to render them.

use std::path::Path;
use std::process::Output;

use anyhow::{Result, ensure};
use kcg_api::names;
use kcg_devcluster::{Tools, tools};
use serde_json::Value;
use tokio::process::Command;

/// The operator's chart, below `deploy/`.
pub const OPERATOR: &str = "charts/kconsumer-group-operator";
/// The CRD's chart, below `deploy/`.
pub const RESOURCE: &str = "charts/kconsumer-group-operator-crds";
/// The values of `certificates.mode`.
pub const MODES: [&str; 3] = ["cert-manager", "self-managed", "provided"];

/// Runs helm, which writes its own files to a temporary folder.
pub async fn helm(args: &[&str]) -> Result<Output> {
    let home = tempfile::tempdir()?;
    let mut command = Command::new(Tools::helm(&tools::to_stderr).await?);
    for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(folder, home.path());
    }
    Ok(command.args(args).output().await?)
}

/// The standard output of helm; fails with its standard error.
pub async fn run(args: &[&str]) -> Result<String> {
    let output = helm(args).await?;
    ensure!(output.status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a chart, rendered for a namespace with these values.
pub async fn template(chart: &Path, namespace: &str, values: &Value) -> Result<Vec<Value>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), values.to_string())?;
    let (chart, values) = (chart.display().to_string(), file.path().display().to_string());
    let args = ["template", names::OPERATOR, &chart, "--namespace", namespace, "--values", &values];
    Ok(serde_saphyr::from_multiple(&run(&args).await?)?)
}
