//! Builds a folder with the kustomize of kubectl.

use std::path::Path;

use kcg_devcluster::{Tools, tools};
use kcg_tests::{Outcome, deploy_copy};
use serde_json::Value;
use tokio::process::Command;

/// Everything that a user may apply: each scope alone, for a provided certificate, and each scope
/// with either way to issue one.
pub const OVERLAYS: [&str; 6] = [
    "scopes/cluster",
    "scopes/namespaced",
    "overlays/cluster/cert-manager",
    "overlays/cluster/self-managed",
    "overlays/namespaced/cert-manager",
    "overlays/namespaced/self-managed",
];

/// The objects that `kubectl apply -k` applies.
pub async fn build(folder: &Path) -> Outcome<Vec<Value>> {
    let kubectl = Tools::ensure(&tools::to_stderr).await?.kubectl_folder()?.join("kubectl");
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?)?)
}

/// The objects of a user's kustomization next to a copy of `deploy/`.
pub async fn on_top(own: &Value) -> Outcome<Vec<Value>> {
    let copy = deploy_copy("").await?;
    std::fs::write(copy.path().join("kustomization.yaml"), own.to_string())?;
    build(copy.path()).await
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// `Kind namespace/name`.
pub fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("?");
    let kind = text("/kind").unwrap_or("?");
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
