//! The operator in a namespace that a kustomization on top of an overlay sets.

use std::time::Duration;

use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::{Outcome, deploy_copy, eventually, operator_binary};
use serde_json::{Value, json};
use tokio::process::Command;

const NAMESPACE: &str = "ops";
/// In a user's kustomization: what `namespace:` does not reach follows it.
const FOLLOW: &str = "deploy/transformers/namespace";

/// The checks of doctor that are not healthy.
async fn faults(env: &TestEnv) -> anyhow::Result<Vec<String>> {
    let mut doctor = Command::new(operator_binary().await?);
    doctor.args(["doctor", "-o", "json", "--namespace", NAMESPACE, "--kubeconfig"]);
    let output = doctor.arg(env.plane.kubeconfig_path()).output().await?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    assert!(checks.len() > 10, "{report}");
    let bad = |check: &&Value| !["ok", "note"].contains(&check["state"].as_str().unwrap_or_default());
    Ok(checks.iter().filter(bad).map(Value::to_string).collect())
}

/// Installs an overlay with `namespace: ops` on top, and lets it admit a group and refuse another.
async fn works(overlay: &str, transformers: &[&str]) -> Outcome {
    let folder = deploy_copy("").await?;
    let own = json!({"namespace": NAMESPACE, "resources": [overlay], "transformers": transformers});
    std::fs::write(folder.path().join("kustomization.yaml"), own.to_string())?;
    let env = TestEnv::install(api_server(all_crds()).await?, folder.path()).await?;
    assert_eq!(env.operator.namespace(), NAMESPACE);

    let _controller = env.operator.start_controller("one", &[]).await?;
    let _webhook = env.operator.start_webhook(&[]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    eventually("doctor finds no fault", Duration::from_secs(30), async || {
        let faults = faults(&env).await?;
        Ok(if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) })
    })
    .await?;
    env.create_sample("kafkatopic.yaml").await?;
    env.reviews_work().await?;
    env.create_sample("kconsumer.yaml").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_on_top_of_the_self_managed_overlay_moves_the_operator() -> Outcome {
    works("deploy/overlays/cluster/self-managed", &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_on_top_of_a_namespaced_overlay_with_cert_manager_moves_the_operator_alone() -> Outcome {
    works("deploy/overlays/namespaced/cert-manager", &[FOLLOW]).await
}
