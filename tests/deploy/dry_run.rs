//! What users apply, validated strictly by one API server.

use std::collections::BTreeSet;

use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds};
use kcg_tests::env::{api_server, install_pod_monitor_crd};
use kcg_tests::helm::{MODES, OPERATOR, RESOURCE, template};
use kcg_tests::{Outcome, deploy, kubectl};
use serde_json::{Value, json};

use crate::charts::every_value;
use crate::installed::cluster;
use crate::kustomize::{OVERLAYS, build, on_top};

/// What kubectl prints to standard error if it applies these objects as a dry run: errors and
/// warnings.
async fn complaints(plane: &ControlPlane, objects: &[&Value]) -> Outcome<String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    Ok(plane.kubectl_command().run_with_input(&apply, &list.to_string()).await?.stderr)
}

/// The namespace in which a form is rendered: only pods on the host network need one without Pod
/// Security.
fn namespace(host_network: bool) -> &'static str {
    if host_network { "host" } else { "ops" }
}

/// Every overlay and component, with what was chosen.
async fn kustomizations() -> Outcome<Vec<(String, Vec<Value>)>> {
    let mut forms = vec![
        ("deploy/grafana".to_owned(), build(&deploy("grafana")).await?),
        ("deploy/crd".to_owned(), build(&deploy("crd")).await?),
    ];
    for overlay in OVERLAYS {
        forms.push((overlay.to_owned(), build(&deploy(overlay)).await?));
    }
    let components = [
        "openshift",
        "no-network-policy",
        "any-api-server-port",
        "host-network",
        "monitoring",
        "kube-prometheus-stack",
        "group-defaults",
        "client-certificates",
    ];
    for (component, overlay) in components.into_iter().zip(OVERLAYS.into_iter().cycle()) {
        let own = json!({
            "namespace": namespace(component == "host-network"),
            "resources": [format!("deploy/{overlay}")],
            "components": [format!("deploy/components/{component}")],
            "transformers": ["deploy/transformers/namespace"],
        });
        forms.push((format!("{overlay} with {component}"), on_top(&own).await?));
    }
    Ok(forms)
}

/// Each mode of the charts, and values that add or change objects.
async fn releases() -> Outcome<Vec<(String, Vec<Value>)>> {
    let mut every = every_value();
    every["webhook"]["hostNetwork"] = json!(false);
    let mut chosen = vec![
        every,
        json!({"openshift": true}),
        json!({"webhook": {"hostNetwork": true}, "ports": {"metrics": 9080, "probes": 9081}}),
        json!({"groupDefaults": {"metrics": {"interval": "30s"}}}),
        json!({"networkPolicy": {"apiServerPorts": [], "metricsFrom": []}, "failurePolicy": "Ignore"}),
        json!({"networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false}}),
    ];
    for mode in MODES {
        for namespaces in [json!([]), json!(["default"])] {
            let topics = json!(["kafka"]);
            let mode = json!({"mode": mode});
            chosen.push(json!({"certificates": mode, "namespaces": namespaces, "topicNamespaces": topics}));
        }
    }
    let mut forms =
        vec![("the CRD's chart".to_owned(), template(&deploy(RESOURCE), "ops", &json!({})).await?)];
    for values in chosen {
        let namespace = namespace(values["webhook"]["hostNetwork"] == true);
        forms.push((values.to_string(), template(&deploy(OPERATOR), namespace, &values).await?));
    }
    Ok(forms)
}

#[tokio::test]
async fn every_overlay_and_every_mode_of_the_charts_passes_strict_validation() -> Outcome {
    // Without the CRD: kubectl apply warns about an object that a server-side apply has created.
    let plane = api_server(Crds { prometheus_operator: true, ..Crds::default() }).await?;
    plane.start_cert_manager().await?;
    install_pod_monitor_crd(&plane).await?;
    for namespace in [names::NAMESPACE, "ops", "host", "kafka"] {
        kubectl::run(&plane, &["create", "namespace", namespace, "--save-config"]).await?;
        if namespace != "host" {
            let warn = ["label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted"];
            kubectl::run(&plane, &warn).await?;
        }
    }
    let (kustomizations, releases) = tokio::try_join!(kustomizations(), releases())?;
    let mut seen = BTreeSet::new();
    let mut forms = Vec::new();
    for (what, objects) in [kustomizations, releases].into_iter().flatten() {
        // Most objects are the same in most forms.
        let new: Vec<Value> = objects.into_iter().filter(|object| seen.insert(object.to_string())).collect();
        forms.push((what, new));
    }
    let all: Vec<&Value> = forms.iter().flat_map(|(_, objects)| objects).collect();
    assert!(all.len() > 100, "{}", all.len());
    if !complaints(&plane, &all).await?.is_empty() {
        for (what, objects) in &forms {
            let objects: Vec<&Value> = objects.iter().collect();
            assert_eq!(complaints(&plane, &objects).await?, "", "{what}");
        }
        return Err("only all forms together are refused".into());
    }
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
