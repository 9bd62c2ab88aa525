//! Each form of the installation, in a namespace that the user chooses.
//!
//! CI installs two forms. `KCG_LONG=1 cargo test -p kcg-tests --test install namespace` installs
//! all of them, which takes some minutes.

use std::path::Path;
use std::time::{Duration, Instant};

use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::helm::{MODES, OPERATOR, template};
use kcg_tests::objects::LEASE;
use kcg_tests::{Outcome, deploy, deploy_copy, eventually, is_long, measured, operator_binary};
use serde_json::{Value, json};
use tokio::process::Command;

const NAMESPACE: &str = "ops";
/// In a user's kustomization: what `namespace:` does not reach follows it.
const FOLLOW: &[&str] = &["deploy/transformers/namespace"];

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

/// Installs a kustomization whose objects are in the namespace, and lets the operator admit a group
/// and refuse another.
async fn works(kustomization: &Path, what: &str) -> Outcome {
    let began = Instant::now();
    let env = TestEnv::install(api_server(all_crds()).await?, kustomization).await?;
    assert_eq!(env.operator.namespace(), NAMESPACE, "{what}");
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
    measured(&format!("{what}: {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// A kustomization of a user, next to a copy of `deploy/`.
async fn overlay(overlay: &str, transformers: &[&str]) -> Outcome {
    let folder = deploy_copy("").await?;
    let resources = [format!("deploy/overlays/{overlay}")];
    let own = json!({"namespace": NAMESPACE, "resources": resources, "transformers": transformers});
    std::fs::write(folder.path().join("kustomization.yaml"), own.to_string())?;
    let what = format!("{overlay}, {} transformers", transformers.len());
    works(folder.path(), &what).await.map_err(|error| format!("{what}: {error}").into())
}

/// The rendered chart, as tools apply it that render without the cluster.
async fn chart(mode: &str, namespaces: Value) -> Outcome {
    let folder = tempfile::tempdir()?;
    let what = format!("the chart, certificates.mode={mode}, namespaces={namespaces}");
    let values = json!({"certificates": {"mode": mode}, "namespaces": namespaces});
    let mut objects = template(&deploy(OPERATOR), NAMESPACE, &values).await?;
    // As `helm install --create-namespace` does.
    objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(folder.path().join("chart.yaml"), list.to_string())?;
    std::fs::write(folder.path().join("kustomization.yaml"), r#"{"resources": ["chart.yaml"]}"#)?;
    works(folder.path(), &what).await.map_err(|error| format!("{what}: {error}").into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlay_in_another_namespace_admits_a_group_and_refuses_an_invalid_one() -> Outcome {
    overlay("namespaced/cert-manager", FOLLOW).await?;
    if is_long() {
        overlay("namespaced/self-managed", FOLLOW).await?;
        overlay("cluster/cert-manager", FOLLOW).await?;
        overlay("cluster/self-managed", FOLLOW).await?;
        overlay("cluster/self-managed", &[]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_in_another_namespace_admits_a_group_and_refuses_an_invalid_one() -> Outcome {
    chart("self-managed", json!([])).await?;
    if is_long() {
        chart("self-managed", json!(["default"])).await?;
        for mode in MODES.into_iter().filter(|mode| *mode != "self-managed") {
            for namespaces in [json!([]), json!(["default"])] {
                chart(mode, namespaces).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_in_another_namespace_moves_no_certificate() -> Outcome {
    let env =
        TestEnv::install(api_server(all_crds()).await?, &deploy("overlays/cluster/self-managed")).await?;
    let account =
        format!("--serviceaccount={}:{}", env.operator.namespace(), env.operator.controller_account());
    let grant = ["--verb=get,create,update", "--resource=leases.coordination.k8s.io"];
    env.kubectl(&["create", "namespace", "leases"]).await?;
    env.kubectl(&[&["create", "role", "lease", "-n", "leases"][..], &grant].concat()).await?;
    env.kubectl(&["create", "rolebinding", "lease", "-n", "leases", "--role=lease", &account]).await?;
    let controller =
        env.operator.start_controller("one", &["--leader-elect-resource-namespace=leases"]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    eventually("it leads", Duration::from_secs(30), async || {
        let (_, text) = controller.get("/metrics").await?;
        Ok(if text.contains("kconsumer_group_operator_leader 1\n") { Ok(()) } else { Err(text) })
    })
    .await?;
    assert_eq!(env.existing_namespace("leases").list(LEASE).await?.len(), 1);
    let bundle = env.certificate.ca_bundle().await?;
    env.certificate.remove_ca_bundles().await?;
    eventually("the leader writes the same CA bundle again", Duration::from_secs(30), async || {
        let bundles = env.certificate.ca_bundles().await?;
        Ok(if bundles.iter().all(|found| *found == bundle) { Ok(()) } else { Err("another") })
    })
    .await?;
    assert!(!controller.process().log().contains("certificates could not be reconciled"));
    Ok(())
}
