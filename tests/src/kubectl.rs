//! The administrator's kubectl, as tests call it most: success is expected, the answer is text or
//! one object.

use anyhow::{Context, Result};
use kcg_devcluster::ControlPlane;
use serde_json::Value;

/// Standard output; fails if kubectl does.
pub async fn run(plane: &ControlPlane, args: &[&str]) -> Result<String> {
    Ok(plane.kubectl(args).await?.ok()?)
}

/// One object or list, or a field of it if `args` choose one with `jsonpath`: `get ARGS -o json`.
pub async fn get(plane: &ControlPlane, args: &[&str]) -> Result<Value> {
    let text = run(plane, &[&["get"], args, &["-o=json"]].concat()).await?;
    serde_json::from_str(&text).with_context(|| format!("the JSON of kubectl get {}", args.join(" ")))
}

/// The object as the API server stored it: `create -f -`.
pub async fn create(plane: &ControlPlane, namespace: &str, object: &Value) -> Result<Value> {
    let args = ["create", "--namespace", namespace, "-f", "-", "-o=json"];
    let created = plane.kubectl_command().run_with_input(&args, &object.to_string()).await?.ok()?;
    Ok(serde_json::from_str(&created)?)
}

/// A JSON patch if `patch` is a list, else a merge patch.
pub async fn patch(plane: &ControlPlane, target: &[&str], patch: &Value) -> Result<()> {
    let kind = if patch.is_array() { "--type=json" } else { "--type=merge" };
    run(plane, &[&["patch"], target, &[kind, "-p", &patch.to_string()]].concat()).await?;
    Ok(())
}
