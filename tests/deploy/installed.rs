//! The overlays on a real API server.

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::ControlPlane;
use kcg_tests::env::{api_server, own_crd};
use kcg_tests::{Outcome, deploy, eventually, kubectl, met};
use serde_json::{Value, json};

use crate::kustomize::{build, of_kind, title};

/// An API server with the operator's CRD alone, without Strimzi's and prometheus-operator's.
pub async fn cluster() -> Outcome<ControlPlane> {
    Ok(api_server(own_crd()).await?)
}

/// Applies an overlay twice, as the README describes. A warning, for instance of Pod Security, is a
/// failure. The second time starts no rollout.
async fn applied(plane: &ControlPlane, overlay: &str) -> Outcome {
    let folder = deploy(overlay).display().to_string();
    for _ in 0..2 {
        let answer = plane.kubectl(&["apply", "-k", &folder]).await?;
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{overlay}");
    }
    let generations = "-o=jsonpath={.items[*].metadata.generation}";
    let deployments = ["get", "deployments", "--namespace", names::NAMESPACE, generations];
    assert_eq!(kubectl::run(plane, &deployments).await?, "1 1");
    Ok(())
}

/// Creates the pods of the Deployments as a dry run: Pod Security refuses pods, but only warns
/// about Deployments.
async fn pods_pass_pod_security(plane: &ControlPlane, overlay: &str) -> Outcome {
    let objects = build(&deploy(overlay)).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let template = &deployment["spec"]["template"];
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": names::NAMESPACE, "labels": template["metadata"]["labels"]},
            "spec": template["spec"],
        });
        let create = ["create", "--dry-run=server", "-f", "-"];
        let answer = plane.kubectl_command().run_with_input(&create, &pod.to_string()).await?;
        assert_eq!(answer.stderr, "", "{}", title(deployment));
    }
    Ok(())
}

/// The namespace enforces Pod Security: a pod without a security context is refused.
async fn other_pods_do_not(plane: &ControlPlane) -> Outcome {
    let run = ["run", "probe", "--image=x", "--dry-run=server", "--namespace", names::NAMESPACE];
    let answer = plane.kubectl(&run).await?;
    assert!(answer.stderr.contains("violates PodSecurity \"restricted"), "{}", answer.stderr);
    Ok(())
}

#[tokio::test]
async fn the_cluster_overlay_installs_and_its_removal_keeps_the_groups() -> Outcome {
    let plane = cluster().await?;
    let overlay = "overlays/cluster/self-managed";
    applied(&plane, overlay).await?;
    pods_pass_pod_security(&plane, overlay).await?;
    other_pods_do_not(&plane).await?;

    // No webhook runs, and its failurePolicy is Fail: groups are refused until its configuration is
    // deleted.
    let sample = deploy("samples/kconsumer.yaml").display().to_string();
    let refused = plane.kubectl(&["create", "-f", &sample]).await?;
    assert!(
        refused.stderr.contains("failed calling webhook \"validate.kconsumergroups.thenextapps.com\""),
        "{}",
        refused.stderr
    );
    kubectl::run(&plane, &["delete", "validatingwebhookconfiguration", names::OPERATOR]).await?;
    kubectl::run(&plane, &["create", "-f", &sample]).await?;

    let folder = deploy(overlay).display().to_string();
    kubectl::run(&plane, &["delete", "-k", &folder, "--ignore-not-found", "--wait=false"]).await?;
    let kept = kubectl::run(&plane, &["get", "kcg", "-o", "name"]).await?;
    assert_eq!(kept.trim(), "kconsumergroup.thenextapps.com/kconsumer");
    Ok(())
}

#[tokio::test]
async fn the_namespaced_overlay_installs_and_only_its_namespaces_are_reviewed() -> Outcome {
    let plane = cluster().await?;
    let overlay = "overlays/namespaced/self-managed";
    applied(&plane, overlay).await?;
    pods_pass_pod_security(&plane, overlay).await?;

    kubectl::run(&plane, &["create", "namespace", "elsewhere"]).await?;
    let sample = deploy("samples/short.yaml").display().to_string();
    let create = |namespace| ["create", "--namespace", namespace, "-f", &sample];
    let refused = plane.kubectl(&create("default")).await?;
    assert!(refused.stderr.contains("failed calling webhook"), "{}", refused.stderr);
    kubectl::run(&plane, &create("elsewhere")).await?;
    Ok(())
}

/// The CRD alone, without any webhook.
#[tokio::test]
async fn samples_pass_strict_validation_and_the_schema_alone_refuses_invalid_ones() -> Outcome {
    let plane = cluster().await?;
    let create = async |name: &str| {
        let path = deploy("samples").join(name).display().to_string();
        plane.kubectl(&["create", "--validate=strict", "-f", &path]).await
    };
    for name in ["kconsumer.yaml", "short.yaml", "full.yaml"] {
        let answer = create(name).await?;
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{name}");
    }
    for (name, field) in
        [("bad-no-image.yaml", "spec.consumerSpec.image"), ("bad-many.yaml", "spec.averageRecordsLagLimit")]
    {
        let answer = create(name).await?;
        assert!(answer.stderr.contains(field), "{name}: {}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_clusters_default_roles_grant_access_to_groups() -> Outcome {
    let plane = ControlPlane::builder().scheduler(false).crds(own_crd()).start().await?;
    for role in ["view", "edit", "admin"] {
        let (user, binding) = (format!("--user=a-person-who-may-{role}"), format!("who-may-{role}"));
        let bind = ["create", "rolebinding", &binding, &format!("--clusterrole={role}"), &user];
        kubectl::run(&plane, &bind).await?;
    }
    let can = async |role: &str, verb: &str| -> Outcome<bool> {
        let person = format!("--as=a-person-who-may-{role}");
        Ok(plane.kubectl(&["auth", "can-i", verb, names::PLURAL, &person]).await?.code == 0)
    };
    // kube-controller-manager aggregates the rules a moment after the ClusterRoles are created.
    eventually("the ClusterRoles are aggregated", Duration::from_secs(30), async || {
        let aggregated =
            can("admin", "create").await.unwrap_or(false) && can("view", "watch").await.unwrap_or(false);
        Ok(met(aggregated, || "not yet"))
    })
    .await?;
    for (role, verb, may) in [
        ("view", "list", true),
        ("view", "create", false),
        ("edit", "watch", true),
        ("edit", "patch", true),
        ("edit", "deletecollection", true),
        ("admin", "delete", true),
    ] {
        assert_eq!(can(role, verb).await?, may, "{role} {verb}");
    }
    Ok(())
}

/// The controller manager checks the types of a policy's expressions, and writes what it finds into
/// its status.
#[tokio::test]
async fn the_expressions_of_the_admission_policy_have_no_warnings() -> Outcome {
    let plane = ControlPlane::builder().scheduler(false).crds(own_crd()).start().await?;
    let overlay = deploy("overlays/cluster/self-managed").display().to_string();
    kubectl::run(&plane, &["apply", "-k", &overlay]).await?;
    let get = ["get", "validatingadmissionpolicy", "kconsumer-group-operator.certificates", "-o=json"];
    let checked = eventually("the expressions are checked", Duration::from_secs(30), async || {
        let policy: Value = serde_json::from_str(&kubectl::run(&plane, &get).await?)?;
        let checked = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
        Ok(if checked { Ok(policy) } else { Err(policy["status"].to_string()) })
    })
    .await?;
    assert_eq!(checked["status"]["typeChecking"], json!({}), "{}", checked["status"]);
    Ok(())
}
