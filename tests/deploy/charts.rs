//! The Helm charts, rendered by helm.

use std::collections::{BTreeMap, BTreeSet};

use kcg_api::names;
use kcg_tests::helm::{self, MODES, OPERATOR, RESOURCE, helm, template};
use kcg_tests::{Outcome, deploy, deploy_copy};
use serde_json::{Value, json};

use crate::kustomize::{build, of_kind, on_top, title};

/// Labels that only the charts have.
const HELMS_LABELS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];
/// An annotation that only the charts have.
const HELMS_ANNOTATION: &str = "helm.sh/resource-policy";

/// Objects by title, without the labels and annotations of helm, and without the namespace of the
/// release, which helm does not create.
fn compared(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let all = objects.into_iter().filter(|object| object["kind"] != "Namespace");
    all.map(|mut object| {
        for (map, keys) in [("labels", &HELMS_LABELS[..]), ("annotations", &[HELMS_ANNOTATION])] {
            if let Some(map) = object["metadata"].get_mut(map).and_then(Value::as_object_mut) {
                map.retain(|key, _| !keys.contains(&key.as_str()));
            }
        }
        if object["metadata"]["annotations"] == json!({}) {
            object["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"));
        }
        (title(&object), object)
    })
    .collect()
}

/// The first difference of two values; Go writes `1.0` as `1` in YAML.
fn difference(left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (one, other) =
                    (one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null));
                difference(one, other).map(|found| format!(".{key}{found}"))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| {
                difference(one, other).map(|found| format!("[{index}]{found}"))
            })
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        _ => (left != right).then(|| format!(": {left} in the chart, {right} in the overlay")),
    }
}

fn same(chart: Vec<Value>, overlay: Vec<Value>, what: &str) {
    let (chart, overlay) = (compared(chart), compared(overlay));
    let titles = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(titles(&chart), titles(&overlay), "{what}");
    for (title, object) in &overlay {
        assert_eq!(difference(&chart[title], object), None, "{what}: {title}");
    }
}

#[tokio::test]
async fn the_chart_has_the_objects_of_the_overlay_in_every_scope_and_mode() -> Outcome {
    for (scope, namespaces) in [("cluster", json!([])), ("namespaced", json!(["default"]))] {
        for mode in MODES {
            let values = json!({"certificates": {"mode": mode}, "namespaces": namespaces});
            let chart = template(&deploy(OPERATOR), names::NAMESPACE, &values).await?;
            let overlay = match mode {
                "provided" => format!("scopes/{scope}"),
                _ => format!("overlays/{scope}/{mode}"),
            };
            same(chart, build(&deploy(&overlay)).await?, &overlay);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_objects_of_the_chart_follow_its_namespace_as_those_of_the_overlays_do() -> Outcome {
    let script = "cd deploy/scopes/namespaced && sed -i 's/^namespace: .*/namespace: other/' operator/kustomization.yaml \
        && sed -i 's|^# - topic-namespaces|- topic-namespaces|' kustomization.yaml";
    let copy = deploy_copy(script).await?;
    for mode in ["cert-manager", "self-managed"] {
        let values =
            json!({"certificates": {"mode": mode}, "namespaces": ["default"], "topicNamespaces": ["kafka"]});
        let chart = template(&deploy(OPERATOR), "other", &values).await?;
        let mut overlay = build(&copy.path().join("deploy/overlays/namespaced").join(mode)).await?;
        // The chart names them after the namespace of its release; with the overlay, the user sets
        // a nameSuffix.
        for object in overlay.iter_mut().filter(|object| object["metadata"]["namespace"] == "kafka") {
            object["metadata"]["name"] = json!("other-topics");
            if object.get("roleRef").is_some() {
                object["roleRef"]["name"] = json!("other-topics");
            }
        }
        same(chart, overlay, mode);
    }
    Ok(())
}

#[tokio::test]
async fn the_monitoring_values_add_the_objects_of_the_monitoring_component() -> Outcome {
    let own = json!({"resources": ["deploy/scopes/cluster"], "components": ["deploy/components/monitoring"]});
    let values =
        json!({"certificates": {"mode": "provided"}, "monitoring": {"podMonitor": true, "alerts": true}});
    let chart = template(&deploy(OPERATOR), names::NAMESPACE, &values).await?;
    same(chart, on_top(&own).await?, "monitoring");
    Ok(())
}

#[tokio::test]
async fn the_host_network_of_the_chart_and_the_component_are_the_same() -> Outcome {
    let own =
        json!({"resources": ["deploy/scopes/cluster"], "components": ["deploy/components/host-network"]});
    let values = json!({"certificates": {"mode": "provided"}, "webhook": {"hostNetwork": true}});
    let chart = template(&deploy(OPERATOR), names::NAMESPACE, &values).await?;
    let overlay = on_top(&own).await?;
    let namespace = of_kind(&overlay, "Namespace").next().ok_or("no Namespace")?;
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
    same(chart, overlay, "host network");
    Ok(())
}

#[tokio::test]
async fn the_crd_chart_has_the_objects_of_deploy_crd_and_keeps_the_crd() -> Outcome {
    let chart = template(&deploy(RESOURCE), names::NAMESPACE, &json!({})).await?;
    let resource = of_kind(&chart, "CustomResourceDefinition").next().ok_or("no CRD")?;
    assert_eq!(resource["metadata"]["annotations"][HELMS_ANNOTATION], "keep");
    // Without the roles, users could no longer read the groups that stay.
    for role in of_kind(&chart, "ClusterRole") {
        assert_eq!(role["metadata"]["annotations"][HELMS_ANNOTATION], "keep", "{}", title(role));
    }
    same(chart, build(&deploy("crd")).await?, "crd");
    Ok(())
}

#[tokio::test]
async fn values_reach_the_pods_and_the_webhook_configurations() -> Outcome {
    let digest = format!("sha256:{}", "a".repeat(64));
    let values = json!({
        "image": {"repository": "example.com/own", "digest": digest, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "replicas": {"webhook": 3},
        "resources": {"webhook": {"limits": {"memory": "1Gi"}}},
        "topicNamespaces": ["*"],
        "certificates": {"mode": "provided", "ca": "-----BEGIN CERTIFICATE-----\n"},
        "failurePolicy": "Ignore",
        "logging": {"level": "debug", "format": "json"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"team": "a"},
    });
    let objects = template(&deploy(OPERATOR), names::NAMESPACE, &values).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let template = &deployment["spec"]["template"];
        let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
        assert_eq!(template["metadata"]["annotations"], json!({"team": "a"}));
        assert_eq!(container["image"], format!("example.com/own@{digest}"));
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
        for key in ["nodeSelector", "tolerations", "affinity", "priorityClassName"] {
            assert_eq!(pod[key], values[key], "{key}");
        }
        let flags = container["args"].as_array().ok_or("no args")?;
        let last = ["--topic-namespaces=*", "--log-level=debug", "--log-format=json"];
        assert!(flags.ends_with(&last.map(Value::from)), "{flags:?}");
        let is_webhook = deployment["metadata"]["name"] == names::WEBHOOK;
        assert_eq!(deployment["spec"]["replicas"], if is_webhook { 3 } else { 2 });
        assert_eq!(container["resources"] == values["resources"]["webhook"], is_webhook);
    }
    for registration in objects.iter().filter(|object| object.get("webhooks").is_some()) {
        let webhook = &registration["webhooks"][0];
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["clientConfig"]["caBundle"], "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==");
    }
    Ok(())
}

/// Each value, other than its default.
pub fn every_value() -> Value {
    json!({
        "imagePullSecrets": [{"name": "pull"}],
        "commonLabels": {"cost-center": "4711"},
        "podLabels": {"mesh": "on"},
        "podAnnotations": {"team": "a"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}},
        "certificates": {"mode": "self-managed"},
        "webhook": {"port": 9443, "hostNetwork": true, "clientCA": {"configMap": "clients", "allowedNames": ["a", "b"]}},
        "extraArgs": {"controller": ["--ca-overlap=6m"], "webhook": ["--max-spec-bytes=1024"]},
        "extraEnv": {"controller": [{"name": "A", "value": "1"}], "webhook": [{"name": "B", "value": "2"}]},
        "podSecurityContext": {"runAsUser": 1000, "supplementalGroups": [3]},
        "securityContext": {"readOnlyRootFilesystem": false},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"},
            {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
             "labelSelector": {"matchLabels": {"a": "b"}}},
        ],
        "priorityClassName": "system-cluster-critical",
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "networkPolicy": {"apiServerPorts": [16443], "metricsFrom": [{"podSelector": {}}]},
        "monitoring": {
            "podMonitor": true,
            "alerts": true,
            "labels": {"release": "stack"},
            "ruleLabels": {"release": "stack"},
        },
    })
}

#[tokio::test]
async fn common_labels_reach_every_object_and_every_pod_and_no_selector() -> Outcome {
    for mode in MODES {
        let mut values = every_value();
        values["certificates"]["mode"] = json!(mode);
        for object in template(&deploy(OPERATOR), "ops", &values).await? {
            let title = title(&object);
            assert_eq!(object["metadata"]["labels"]["cost-center"], "4711", "{title}");
            if object["kind"] == "Deployment" {
                let pod = &object["spec"]["template"]["metadata"];
                assert_eq!(pod["labels"]["cost-center"], "4711", "{title}");
                assert_eq!(pod["labels"]["mesh"], "on", "{title}");
                assert_eq!(object["spec"]["selector"]["matchLabels"].get("cost-center"), None, "{title}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn values_that_other_charts_have_reach_their_objects() -> Outcome {
    let values = every_value();
    let objects = template(&deploy(OPERATOR), "ops", &values).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let process = container["name"].as_str().ok_or("no name")?;
        let last = |list: &Value| list.as_array().and_then(|list| list.last().cloned());
        assert_eq!(last(&container["args"]), last(&values["extraArgs"][process]), "{process}");
        assert_eq!(last(&container["env"]), last(&values["extraEnv"][process]), "{process}");
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 65532, "fsGroup": 65532,
                "supplementalGroups": [3], "seccompProfile": {"type": "RuntimeDefault"}})
        );
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], false);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        let spread = &pod["topologySpreadConstraints"];
        assert_eq!(spread[0]["topologyKey"], "rack");
        assert_eq!(spread[0]["labelSelector"], deployment["spec"]["selector"]);
        assert_eq!(spread[1], values["topologySpreadConstraints"][1]);
        assert_eq!(pod.get("hostNetwork").is_some(), process == "webhook");
    }
    let webhook = objects.iter().find(|object| title(object) == format!("Deployment ops/{}", names::WEBHOOK));
    let container = &webhook.ok_or("no webhook")?["spec"]["template"]["spec"]["containers"][0];
    assert!(
        container["args"]
            .as_array()
            .is_some_and(|args| args.contains(&json!("--webhook-bind-address=:9443")))
    );
    assert_eq!(container["ports"][0]["containerPort"], 9443);
    let args = container["args"].as_array().ok_or("no args")?;
    for flag in ["--client-ca-file=/client-ca/ca.crt", "--client-allowed-names=a,b"] {
        assert!(args.contains(&json!(flag)), "{flag} in {args:?}");
    }
    let mounts = container["volumeMounts"].to_string();
    assert!(mounts.contains(r#""mountPath":"/client-ca","name":"client-ca""#), "{mounts}");
    for account in of_kind(&objects, "ServiceAccount") {
        assert_eq!(account["metadata"]["annotations"], values["serviceAccount"]["annotations"]);
    }
    for budget in of_kind(&objects, "PodDisruptionBudget") {
        assert_eq!(budget["spec"]["maxUnavailable"], "50%");
    }
    for kind in ["PodMonitor", "PrometheusRule"] {
        let object = of_kind(&objects, kind).next().ok_or(kind)?;
        assert_eq!(object["metadata"]["labels"]["release"], "stack", "{kind}");
    }
    let policies: Vec<&Value> = of_kind(&objects, "NetworkPolicy").collect();
    assert_eq!(policies[0]["spec"]["egress"][0], json!({"ports": [{"port": 16443}]}));
    assert_eq!(policies[0]["spec"]["ingress"][0]["from"], json!([{"podSelector": {}}]));
    assert_eq!(policies[1]["spec"]["ingress"][0]["ports"], json!([{"port": 9443}]));
    Ok(())
}

#[tokio::test]
async fn policies_and_budgets_can_be_left_out_or_opened() -> Outcome {
    let off = json!({"networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false}});
    let objects = template(&deploy(OPERATOR), "ops", &off).await?;
    for kind in ["NetworkPolicy", "PodDisruptionBudget"] {
        assert_eq!(of_kind(&objects, kind).count(), 0, "{kind}");
    }
    let open = json!({"networkPolicy": {"apiServerPorts": [], "metricsFrom": []}});
    let objects = template(&deploy(OPERATOR), "ops", &open).await?;
    let policy = of_kind(&objects, "NetworkPolicy").next().ok_or("no policy")?;
    assert_eq!(policy["spec"]["egress"][0], json!({}));
    assert_eq!(policy["spec"]["ingress"][0].get("from"), None);
    Ok(())
}

#[tokio::test]
async fn each_template_prints_objects_of_one_kind() -> Outcome {
    let (chart, values) = (deploy(OPERATOR).display().to_string(), tempfile::NamedTempFile::new()?);
    std::fs::write(values.path(), every_value().to_string())?;
    let values = values.path().display().to_string();
    for (template, count) in
        [("webhook-deployment", 1), ("mutatingwebhookconfiguration", 1), ("controller-role", 2)]
    {
        let file = format!("templates/{template}.yaml");
        let arguments = ["template", "x", &chart, "--values", &values, "--show-only", &file];
        let namespaces = ["--set", "namespaces={a,b}", "--set", "topicNamespaces={c}"];
        let text = helm::run(&[&arguments[..], &namespaces].concat()).await?;
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        assert_eq!(objects.len(), count, "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_misspelt_or_invalid_value_is_refused_with_its_name() -> Outcome {
    let (operator, resource) =
        (deploy(OPERATOR).display().to_string(), deploy(RESOURCE).display().to_string());
    for (chart, value, named) in [
        (&operator, "replica.webhook=3", "replica"),
        (&operator, "certificates.mod=provided", "mod"),
        (&operator, "certificates.mode=none", "mode"),
        (&operator, "namespaces={Team_A}", "namespaces"),
        (&operator, "failurePolicy=fail", "failurePolicy"),
        (&operator, "image.digest=sha256:12", "digest"),
        (&operator, "webhook.port=443", "port"),
        (&operator, "ports.metrics=80", "metrics"),
        (&operator, "ports.metric=9090", "metric"),
        (&operator, "podDisruptionBudget.maxUnavailable=0", "maxUnavailable"),
        (&operator, "extraArgs.webhook={log}", "extraArgs"),
        (&resource, "keep=false", "keep"),
    ] {
        let output = helm(&["template", "x", chart, "--set", value]).await?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(named), "{value}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn values_that_contradict_each_other_are_refused_with_both_names_and_the_cure() -> Outcome {
    let operator = deploy(OPERATOR).display().to_string();
    for (values, named, cure) in [
        ("topicNamespaces={*},namespaces={a}", ["topicNamespaces", "namespaces"], "leave namespaces empty"),
        (
            "certificates.ca=-----BEGIN CERTIFICATE-----",
            ["certificates.ca", "certificates.mode=self-managed"],
            "set certificates.mode=provided",
        ),
        (
            "certificates.authority=x",
            ["certificates.authority", "certificates.ca"],
            "Set certificates.ca to its value",
        ),
        ("replicas.webhook=0", ["replicas.webhook=0", "failurePolicy=Fail"], "set failurePolicy=Ignore"),
        (
            "openshift=true,podSecurityContext.runAsUser=1000",
            ["podSecurityContext.runAsUser=1000", "openshift=true"],
            "Remove podSecurityContext.runAsUser",
        ),
        (
            "openshift=true,securityContext.runAsGroup=1",
            ["securityContext.runAsGroup=1", "openshift=true"],
            "set openshift=false",
        ),
        (
            "openshift=true,securityContext.runAsUser=65532",
            ["securityContext.runAsUser=65532", "openshift=true"],
            "Remove securityContext.runAsUser",
        ),
        (
            "openshift=true,podSecurityContext.fsGroup=0",
            ["podSecurityContext.fsGroup=0", "openshift=true"],
            "Remove podSecurityContext.fsGroup",
        ),
        (
            "openshift=true,webhook.hostNetwork=true",
            ["webhook.hostNetwork=true", "openshift=true"],
            "Set webhook.hostNetwork=false",
        ),
        (
            "openshift=true,securityContext.privileged=true",
            ["securityContext.privileged=true", "openshift=true"],
            "Set securityContext.privileged=false",
        ),
        (
            "openshift=true,securityContext.allowPrivilegeEscalation=true",
            ["securityContext.allowPrivilegeEscalation=true", "openshift=true"],
            "set openshift=false",
        ),
        (
            "openshift=true,securityContext.capabilities.add={SYS_ADMIN}",
            ["securityContext.capabilities.add has SYS_ADMIN", "openshift=true"],
            "Remove it",
        ),
        (
            "openshift=true,podSecurityContext.seccompProfile.type=Unconfined",
            ["podSecurityContext.seccompProfile.type=Unconfined", "openshift=true"],
            "Set it to RuntimeDefault",
        ),
        (
            "commonLabels.app\\.kubernetes\\.io/name=x",
            ["commonLabels", "app.kubernetes.io/name"],
            "Remove it from commonLabels",
        ),
    ] {
        let output = helm(&["template", "x", &operator, "--set", values]).await?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{values}");
        for text in named.into_iter().chain([cure]) {
            assert!(message.contains(text), "{values}: {message}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn charts_pass_helm_lint_and_have_this_version() -> Outcome {
    for chart in [OPERATOR, RESOURCE] {
        let folder = deploy(chart).display().to_string();
        let text = std::fs::read_to_string(deploy(chart).join("Chart.yaml"))?;
        let about: Value = serde_saphyr::from_str(&text)?;
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
        for mode in MODES {
            let value = format!("certificates.mode={mode}");
            let set: &[&str] = if chart == OPERATOR { &["--set", &value] } else { &[] };
            helm::run(&[&["lint", "--strict", &folder], set].concat()).await?;
        }
    }
    Ok(())
}

/// A chart is also installed from a repository.
#[test]
fn the_notes_name_no_path_of_a_checkout() -> Outcome {
    for chart in [OPERATOR, RESOURCE] {
        let notes = std::fs::read_to_string(deploy(chart).join("templates/NOTES.txt"))?;
        for path in ["deploy/", "docs/", "README"] {
            assert!(!notes.contains(path), "{chart}: {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn group_defaults_are_a_file_that_both_processes_read() -> Outcome {
    let chart = deploy(OPERATOR);
    let defaults = json!({
        "metrics": {"preset": "JmxExporter", "interval": "30s", "labels": {"release": "stack"}},
        "alerts": {"severity": "ticket", "ruleLabels": {"release": "stack"}},
        "consumerSpec": {"imagePullSecrets": [{"name": "registry"}]},
        "inheritedMetadata": {"labels": {"team": "t"}, "annotations": {"note": "n"}},
    });
    let objects = template(&chart, names::NAMESPACE, &json!({"groupDefaults": defaults})).await?;
    let map = of_kind(&objects, "ConfigMap").next().ok_or("no ConfigMap")?;
    let text = map["data"]["defaults.yaml"].as_str().ok_or("no file")?;
    assert_eq!(kcg_api::GroupDefaults::parse(text), kcg_api::GroupDefaults::parse(&defaults.to_string()));
    for deployment in of_kind(&objects, "Deployment") {
        let pod = deployment["spec"]["template"]["spec"].to_string();
        for part in [
            "--defaults=/etc/kconsumer-group-operator/defaults.yaml",
            "\"mountPath\":\"/etc/kconsumer-group-operator\"",
            "\"name\":\"kconsumer-group-operator-group-defaults\",\"optional\":true",
        ] {
            assert!(pod.contains(part), "{part} in {pod}");
        }
    }
    let without = template(&chart, names::NAMESPACE, &json!({})).await?;
    assert_eq!(of_kind(&without, "ConfigMap").count(), 0);
    assert!(!json!(without).to_string().contains("group-defaults"));
    for (wrong, word) in [
        (json!({"metrics": {"intervall": "30s"}}), "intervall"),
        (json!({"metrics": {"interval": "soon"}}), "interval"),
        (json!({"alerts": {"ruleLabels": {"app": "mine"}}}), "'/groupDefaults/alerts/ruleLabels/app'"),
    ] {
        let refused = template(&chart, names::NAMESPACE, &json!({"groupDefaults": wrong})).await;
        let message = refused.err().ok_or("the schema accepts it")?.to_string();
        assert!(message.contains(word), "{message}");
    }
    Ok(())
}
