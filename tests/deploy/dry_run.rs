//! What users apply, validated strictly by one API server.

use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds};
use kcg_tests::env::api_server;
use kcg_tests::{Outcome, deploy, deploy_copy, kubectl};
use serde_json::{Value, json};

use crate::charts::{MODES, OPERATOR, RESOURCE, every_value, template};
use crate::installed::cluster;
use crate::kustomize::{OVERLAYS, build};

/// Applies objects as a dry run. Neither an error nor a warning may be printed.
async fn passes(plane: &ControlPlane, objects: &[Value], what: &str) -> Outcome {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let answer = plane.kubectl_command().run_with_input(&apply, &list.to_string()).await?;
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{what}");
    Ok(())
}

/// An overlay with lines of a user's kustomization on top.
async fn on_top(own: &Value) -> Outcome<Vec<Value>> {
    let copy = deploy_copy("").await?;
    std::fs::write(copy.path().join("kustomization.yaml"), own.to_string())?;
    build(copy.path()).await
}

#[tokio::test]
async fn every_overlay_and_every_mode_of_the_charts_passes_strict_validation() -> Outcome {
    // Without the CRD: kubectl apply warns about an object that a server-side apply has created.
    let plane = api_server(Crds::default()).await?;
    plane.start_cert_manager().await?;
    for namespace in [names::NAMESPACE, "ops", "kafka"] {
        kubectl::run(&plane, &["create", "namespace", namespace, "--save-config"]).await?;
        let enforce = ["label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted"];
        kubectl::run(&plane, &enforce).await?;
    }
    for overlay in OVERLAYS {
        passes(&plane, &build(&deploy(overlay)).await?, overlay).await?;
        for component in ["openshift", "no-network-policy", "any-api-server-port"] {
            let own = json!({
                "namespace": "ops",
                "resources": [format!("deploy/{overlay}")],
                "components": [format!("deploy/components/{component}")],
                "transformers": ["deploy/transformers/namespace"],
            });
            passes(&plane, &on_top(&own).await?, &format!("{overlay} with {component}")).await?;
        }
    }
    for mode in MODES {
        for namespaces in [json!([]), json!(["default"])] {
            let chosen = json!({"certificates": {"mode": mode}, "namespaces": namespaces, "topicNamespaces": ["kafka"]});
            passes(&plane, &template(&deploy(OPERATOR), "ops", &chosen).await?, &chosen.to_string()).await?;
        }
    }
    let mut every = every_value();
    every["monitoring"] = json!({});
    // Pod Security warns about it, which is right.
    every["webhook"]["hostNetwork"] = json!(false);
    passes(&plane, &template(&deploy(OPERATOR), "ops", &every).await?, "every value").await?;
    passes(&plane, &template(&deploy(RESOURCE), "ops", &json!({})).await?, "the CRD's chart").await?;
    Ok(())
}

/// The pods of the form for OpenShift, with the users and groups that it assigns.
#[tokio::test]
async fn pods_for_openshift_name_no_user_and_no_group_and_pass_pod_security() -> Outcome {
    let plane = cluster().await?;
    let own = json!({
        "resources": ["deploy/scopes/cluster"],
        "components": ["deploy/components/openshift"],
    });
    let overlay = on_top(&own).await?;
    let chart = template(&deploy(OPERATOR), names::NAMESPACE, &json!({"openshift": true})).await?;
    kubectl::run(&plane, &["create", "namespace", names::NAMESPACE]).await?;
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl::run(&plane, &["label", "namespace", names::NAMESPACE, enforce]).await?;
    for objects in [overlay, chart] {
        let deployments: Vec<_> = objects.iter().filter(|object| object["kind"] == "Deployment").collect();
        assert_eq!(deployments.len(), 2);
        for deployment in deployments {
            let mut pod = deployment["spec"]["template"].clone();
            for field in ["runAsUser", "runAsGroup", "fsGroup"] {
                assert_eq!(pod["spec"]["securityContext"].get(field), None, "{field}");
            }
            // As the admission of the SecurityContextConstraint does.
            pod["spec"]["securityContext"]["fsGroup"] = json!(1_000_650_000);
            pod["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(1_000_650_000);
            pod["spec"]["serviceAccountName"] = json!("default");
            pod["metadata"]["name"] = json!("probe");
            pod["metadata"]["namespace"] = json!(names::NAMESPACE);
            (pod["apiVersion"], pod["kind"]) = (json!("v1"), json!("Pod"));
            let create = ["create", "--dry-run=server", "-f", "-"];
            let mut unassigned = pod.clone();
            unassigned["spec"]["securityContext"].as_object_mut().ok_or("no context")?.remove("fsGroup");
            unassigned["spec"]["containers"][0]["securityContext"]["runAsUser"].take();
            for pod in [pod, unassigned] {
                let answer = plane.kubectl_command().run_with_input(&create, &pod.to_string()).await?;
                assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
            }
        }
    }
    Ok(())
}
