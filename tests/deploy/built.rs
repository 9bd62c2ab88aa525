//! The overlays as kustomize builds them.

use clap::Parser;
use kcg_api::names;
use kcg_tests::{Outcome, deploy, deploy_copy, promtool};
use kconsumer_group_operator::cli::Cli;
use serde_json::{Value, json};

use crate::kustomize::{OVERLAYS, build, of_kind, on_top, title};

#[tokio::test]
async fn no_overlay_contains_the_crd_so_deleting_an_overlay_keeps_the_groups() -> Outcome {
    for overlay in OVERLAYS {
        let objects = build(&deploy(overlay)).await?;
        assert_eq!(of_kind(&objects, "CustomResourceDefinition").count(), 0, "{overlay}");
    }
    let resource = build(&deploy("crd")).await?;
    assert_eq!(of_kind(&resource, "CustomResourceDefinition").count(), 1);
    Ok(())
}

#[tokio::test]
async fn the_namespaced_scope_has_only_its_namespace_and_webhook_configurations_cluster_scoped() -> Outcome {
    let objects = build(&deploy("scopes/namespaced")).await?;
    let cluster_scoped: Vec<String> =
        objects.iter().filter(|object| object["metadata"].get("namespace").is_none()).map(title).collect();
    let expected = ["Namespace", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    assert_eq!(cluster_scoped, expected.map(|kind| format!("{kind} kconsumer-group-operator")));
    Ok(())
}

/// The steps in the comment of the scope's kustomization.
#[tokio::test]
async fn a_copied_folder_adds_a_namespace() -> Outcome {
    let script = "cd deploy/scopes/namespaced \
        && cp -r namespaces/default namespaces/team-a \
        && sed -i 's/default/team-a/' namespaces/team-a/kustomization.yaml namespaces/team-a/roles/kustomization.yaml \
        && printf 'components:\\n- namespaces/default\\n- namespaces/team-a\\n- topic-namespaces/kafka\\n' > components \
        && sed -i -e '/^- namespaces/d' -e '/^components:/{r components' -e 'd}' kustomization.yaml";
    let copy = deploy_copy(script).await?;

    let objects = build(&copy.path().join("deploy/scopes/namespaced")).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let arguments =
            deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().ok_or("no args")?;
        let named = ["--namespaces=default", "--namespaces=team-a", "--topic-namespaces=kafka"];
        assert!(arguments.ends_with(&named.map(Value::from)), "{arguments:?}");
    }
    for registration in objects.iter().filter(|object| object.get("webhooks").is_some()) {
        let selected = &registration["webhooks"][0]["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(selected["values"], json!(["default", "team-a"]));
    }
    let roles: Vec<String> = of_kind(&objects, "Role").map(title).collect();
    for role in ["team-a/kconsumer-group-operator-controller", "team-a/kconsumer-group-operator-webhook"] {
        assert!(roles.contains(&format!("Role {role}")), "{roles:?}");
    }
    assert!(roles.contains(&"Role kafka/kconsumer-group-operator-topics".to_owned()), "{roles:?}");
    Ok(())
}

#[tokio::test]
async fn a_second_installation_shares_no_object_and_no_service_account_with_the_first() -> Outcome {
    let script = "cd deploy && cp -r scopes/namespaced scopes/second && cp -r overlays/namespaced overlays/second \
        && sed -i 's#scopes/namespaced#scopes/second#' overlays/second/*/kustomization.yaml && cd scopes/second \
        && sed -i 's/^namespace: .*/namespace: second/' operator/kustomization.yaml \
        && sed -i 's/default/team-a/' namespaces/default/kustomization.yaml namespaces/default/roles/kustomization.yaml";
    let copy = deploy_copy(script).await?;
    for mode in ["cert-manager", "self-managed"] {
        let first = build(&deploy(&format!("overlays/namespaced/{mode}"))).await?;
        let second = build(&copy.path().join("deploy/overlays/second").join(mode)).await?;
        share_nothing(&first, &second);
    }
    Ok(())
}

fn share_nothing(first: &[Value], second: &[Value]) {
    let titles: Vec<String> = first.iter().map(title).collect();
    for object in second {
        assert!(!titles.contains(&title(object)), "{} is the first's, too", title(object));
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "second", "{}", title(object));
        }
        for webhook in object["webhooks"].as_array().into_iter().flatten() {
            assert_eq!(webhook["clientConfig"]["service"]["namespace"], "second");
        }
    }
}

#[tokio::test]
async fn the_component_of_defaults_mounts_the_file_in_both_processes() -> Outcome {
    let script = "mkdir deploy/mine && cd deploy/mine && echo 'metrics: {interval: 30s}' > defaults.yaml \
        && printf '%s\\n' 'namespace: kconsumer-group-operator' 'resources: [../overlays/cluster/cert-manager]' \
        'components: [../components/group-defaults]' 'configMapGenerator:' \
        '- {name: kconsumer-group-operator-group-defaults, files: [defaults.yaml], options: {disableNameSuffixHash: true}}' \
        > kustomization.yaml";
    let copy = deploy_copy(script).await?;
    let objects = build(&copy.path().join("deploy/mine")).await?;
    let map = of_kind(&objects, "ConfigMap").next().ok_or("no ConfigMap")?;
    assert_eq!(map["data"]["defaults.yaml"], "metrics: {interval: 30s}\n");
    for deployment in of_kind(&objects, "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let has = |list: &Value, wanted: &Value| list.as_array().is_some_and(|list| list.contains(wanted));
        let flag = json!("--defaults=/etc/kconsumer-group-operator/defaults.yaml");
        assert!(has(&container["args"], &flag), "{container}");
        let mount =
            json!({"name": "group-defaults", "mountPath": "/etc/kconsumer-group-operator", "readOnly": true});
        assert!(has(&container["volumeMounts"], &mount), "{container}");
        let source = json!({"name": map["metadata"]["name"], "optional": true});
        assert!(has(&pod["volumes"], &json!({"name": "group-defaults", "configMap": source})), "{pod}");
    }
    assert_eq!(of_kind(&objects, "Deployment").count(), 2);
    Ok(())
}

#[tokio::test]
async fn manifests_name_what_the_code_names() -> Outcome {
    for overlay in OVERLAYS {
        let objects = build(&deploy(overlay)).await?;
        for process in [names::CONTROLLER, names::WEBHOOK] {
            for kind in ["Deployment", "ServiceAccount", "PodDisruptionBudget"] {
                assert!(
                    objects
                        .iter()
                        .any(|object| title(object) == format!("{kind} {}/{process}", names::NAMESPACE))
                );
            }
        }
        for subject in objects.iter().flat_map(|object| object["subjects"].as_array().into_iter().flatten()) {
            let account =
                format!("ServiceAccount {}/{}", text(subject, "/namespace"), text(subject, "/name"));
            assert!(
                objects.iter().any(|object| title(object) == account),
                "{account} is bound and not there"
            );
        }
        let service = of_kind(&objects, "Service").next().ok_or("no Service")?;
        assert_eq!(title(service), format!("Service {}/{}", names::NAMESPACE, names::WEBHOOK));
    }
    Ok(())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn pods_have_this_version_and_only_the_privileges_that_they_need() -> Outcome {
    let objects = build(&deploy("scopes/cluster")).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert!(pod["securityContext"]["runAsUser"].as_i64().is_some_and(|user| user >= 10_000));
        let [container] = pod["containers"].as_array().ok_or("no containers")?.as_slice() else {
            return Err("one container a pod".into());
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(container["image"], format!("thenextapps/kconsumer-group-operator:{version}"));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        for (pointer, why) in [
            ("/resources/requests/memory", "it is scheduled by what it takes"),
            ("/resources/limits/memory", "a leak ends it and not its node"),
            ("/startupProbe", "probed"),
            ("/livenessProbe", "probed"),
            ("/readinessProbe", "probed"),
        ] {
            assert!(container.pointer(pointer).is_some(), "{pointer}: {why}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_binary_accepts_the_flags_in_the_manifests() -> Outcome {
    for overlay in OVERLAYS {
        for deployment in of_kind(&build(&deploy(overlay)).await?, "Deployment") {
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let arguments: Vec<String> = serde_json::from_value(container["args"].clone())?;
            let arguments = arguments.iter().map(|argument| expanded(argument, container));
            let line = std::iter::once(names::OPERATOR.to_owned()).chain(arguments);
            Cli::try_parse_from(line)?;
        }
    }
    Ok(())
}

/// An argument as the kubelet passes it, with the values of the container's variables.
fn expanded(argument: &str, container: &Value) -> String {
    let variables = container["env"].as_array().into_iter().flatten();
    variables.fold(argument.to_owned(), |argument, variable| {
        let reference = format!("$({})", variable["name"].as_str().unwrap_or_default());
        // A variable without a value has the pod's name or namespace.
        argument.replace(&reference, variable["value"].as_str().unwrap_or(names::NAMESPACE))
    })
}

#[tokio::test]
async fn the_monitoring_component_builds_with_an_overlay_and_its_rules_are_promql() -> Outcome {
    let own = json!({
        "resources": ["deploy/overlays/cluster/self-managed"],
        "components": ["deploy/components/monitoring"],
    });
    let objects = on_top(&own).await?;
    assert_eq!(of_kind(&objects, "PodMonitor").count(), 1);
    let rules = of_kind(&objects, "PrometheusRule").next().ok_or("no PrometheusRule")?;
    check_rules(&rules["spec"], &[]).await
}

/// Checks a rule file with these groups.
pub async fn check_rules(groups: &Value, flags: &[&str]) -> Outcome {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("rules.yaml"), groups.to_string())?;
    promtool(folder.path(), &[&["check", "rules"], flags, &["rules.yaml"]].concat()).await?;
    Ok(())
}
