//! The PodDisruptionBudgets, with pods on a simulated node.

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::ControlPlane;
use kcg_tests::env::own_crd;
use kcg_tests::helm::{OPERATOR, template};
use kcg_tests::{Outcome, deploy, eventually, kubectl};
use serde_json::{Value, json};

#[tokio::test]
async fn the_only_pod_of_a_process_can_be_evicted() -> Outcome {
    let plane = ControlPlane::builder().crds(own_crd()).start().await?;
    plane.add_node("node-1").await?;
    let values = json!({"replicas": {"controller": 1, "webhook": 1}});
    let objects = template(&deploy(OPERATOR), names::NAMESPACE, &values).await?;
    kubectl::run(&plane, &["create", "namespace", names::NAMESPACE]).await?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    plane.kubectl_command().run_with_input(&["apply", "-f", "-"], &list.to_string()).await?.ok()?;

    let own = ["-n", names::NAMESPACE];
    let pods = eventually("both budgets allow a disruption", Duration::from_mins(1), async || {
        let budgets = kubectl::get(&plane, &[&["pdb"], &own[..]].concat()).await?;
        let budgets = budgets["items"].as_array().cloned().unwrap_or_default();
        let allowed = budgets.iter().filter(|budget| budget["status"]["disruptionsAllowed"] == 1).count();
        let pods = kubectl::get(&plane, &[&["pods"], &own[..]].concat()).await?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> =
            pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned).collect();
        Ok(if (allowed, names.len()) == (2, 2) { Ok(names) } else { Err(format!("{budgets:?} {names:?}")) })
    })
    .await?;
    for pod in pods {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", names::NAMESPACE);
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": names::NAMESPACE},
        });
        let create = ["create", "--raw", &path, "-f", "-"];
        let answer = plane.kubectl_command().run_with_input(&create, &eviction.to_string()).await?.ok()?;
        let answer: Value = serde_json::from_str(&answer)?;
        assert_eq!((&answer["status"], &answer["code"]), (&json!("Success"), &json!(201)), "{answer}");
    }
    Ok(())
}
