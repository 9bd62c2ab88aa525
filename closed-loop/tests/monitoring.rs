//! The real prometheus-operator and Prometheus, on monitors and rules like those of our controller.

use std::path::Path;
use std::time::Duration;

use kcg_closed_loop::{AlertState, Monitoring};
use kcg_devcluster::{ControlPlane, build_operator, deploy_folder, wait};
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const LIMIT: Duration = Duration::from_mins(1);

async fn start() -> kcg_devcluster::Result<(Monitoring, ControlPlane)> {
    let plane = ControlPlane::builder().scheduler(false).start().await?;
    let monitoring = Monitoring::start(&plane).await?;
    Ok((monitoring, plane))
}

/// A ServiceMonitor with the fields that the controller sets.
fn monitor() -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {
            "jobLabel": "app",
            "selector": {"matchLabels": {"app": "payments"}},
            "namespaceSelector": {"matchNames": ["default"]},
            "endpoints": [{
                "port": "metrics", "path": "/metrics", "scheme": "http", "interval": "15s", "honorLabels": false,
            }],
        },
    })
}

/// A rule with the labels that kube-prometheus selects.
fn rule(alert: &str, expression: &str) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {
            "name": "payments", "namespace": "default",
            "labels": {"prometheus": "k8s", "role": "alert-rules"},
        },
        "spec": {"groups": [{"name": "payments", "rules": [{"alert": alert, "expr": expression}]}]},
    })
}

/// Waits until the Accepted condition has this status for the ServiceMonitor's current generation;
/// returns its message.
async fn accepted(plane: &ControlPlane, status: &str) -> kcg_devcluster::Result<String> {
    wait::until(&format!("Accepted={status}"), LIMIT, async || {
        let seen = plane.kubectl(&["get", "servicemonitor", "payments", "-o", "json"]).await?.ok()?;
        let seen: Value = serde_json::from_str(&seen).unwrap_or_default();
        let condition = &seen["status"]["bindings"][0]["conditions"][0];
        let matches = condition["type"] == "Accepted"
            && condition["status"] == status
            && condition["observedGeneration"] == seen["metadata"]["generation"];
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        Ok(if matches { Ok(message) } else { Err(seen["status"].to_string()) })
    })
    .await
}

/// Waits until exactly these alerts fire.
async fn firing(monitoring: &Monitoring, names: &[&str]) -> kcg_devcluster::Result<()> {
    wait::until(&format!("{names:?} to fire"), LIMIT, async || {
        monitoring.must_run()?;
        let mut alerts = monitoring.alerts().await?;
        alerts.retain(|alert| alert.state == AlertState::Firing);
        let seen: Vec<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
        Ok(if seen == names { Ok(()) } else { Err(format!("{seen:?} fire")) })
    })
    .await
}

#[tokio::test]
async fn a_monitor_is_accepted_rejected_with_a_reason_and_accepted_again() -> Outcome {
    let (monitoring, plane) = start().await?;
    plane.apply_yaml(&monitor().to_string()).await?;
    accepted(&plane, "True").await?;
    let configuration = plane.folder().join("prometheus/prometheus.yaml");
    wait::until("the monitor's job in the configuration", LIMIT, async || {
        let text = std::fs::read_to_string(&configuration).unwrap_or_default();
        Ok(if text.contains("serviceMonitor/default/payments/0") { Ok(()) } else { Err(text) })
    })
    .await?;

    // Our controller does not own this field; a policy of the cluster may set it.
    let class = async |class: Value| {
        let patch = format!("--patch={}", json!({"spec": {"scrapeClass": class}}));
        plane.kubectl(&["patch", "servicemonitor", "payments", "--type=merge", &patch]).await?.ok()
    };
    class(json!("mesh")).await?;
    let why = accepted(&plane, "False").await?;
    assert!(why.contains("\"mesh\" not found"), "{why}");
    class(Value::Null).await?;
    accepted(&plane, "True").await?;
    monitoring.must_run()?;
    Ok(())
}

#[tokio::test]
async fn an_alert_keeps_firing_while_another_rule_is_added_and_resolves_once_its_rule_is_deleted() -> Outcome
{
    let (monitoring, plane) = start().await?;
    plane.apply_yaml(&rule("Always", "vector(1) > 0").to_string()).await?;
    firing(&monitoring, &["Always"]).await?;

    let mut other = rule("Other", "vector(1) > 0");
    other["metadata"]["name"] = json!("other");
    plane.apply_yaml(&other.to_string()).await?;
    wait::until("both to fire", LIMIT, async || {
        let alerts = monitoring.alerts().await?;
        let fires = |name| alerts.iter().any(|one| one.name == name && one.state == AlertState::Firing);
        // It keeps firing while its ConfigMap is rewritten.
        assert!(fires("Always"), "{alerts:?}");
        Ok(if fires("Other") { Ok(()) } else { Err(format!("{alerts:?}")) })
    })
    .await?;

    plane.kubectl(&["delete", "prometheusrule", "--all"]).await?.ok()?;
    firing(&monitoring, &[]).await?;

    // Queries are sent unchanged, and their answers are parsed.
    let found = monitoring.query("label_replace(vector(3) > 2, \"who\", \"a&b c+d\", \"\", \"\")").await?;
    assert_eq!((found.len(), found[0].value.to_bits()), (1, 3_f64.to_bits()));
    assert_eq!(found[0].labels["who"], "a&b c+d");
    let range =
        monitoring.query_range("time()", found[0].at - 4.0, found[0].at, Duration::from_secs(1)).await?;
    assert_eq!(range[0].points.len(), 5);
    let wrong = monitoring.query("max(").await.expect_err("it is no PromQL").to_string();
    assert!(wrong.contains("parse error"), "{wrong}");
    Ok(())
}

/// The labels by which kube-prometheus-stack's Prometheus selects by default: the name of its Helm
/// release.
fn of_the_stack() -> Value {
    // A merge patch removes the labels of before only if they are null.
    let labels = json!({"release": "kube-prometheus-stack", "prometheus": null, "role": null});
    let release = json!({"matchLabels": labels});
    json!({"spec": {
        "serviceMonitorSelector": release, "serviceMonitorNamespaceSelector": {},
        "podMonitorSelector": release, "podMonitorNamespaceSelector": {},
        "ruleSelector": release, "ruleNamespaceSelector": {},
    }})
}

/// The monitor and the rule among rendered objects.
fn monitoring_objects(rendered: &str) -> Outcome<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(rendered)?;
    let ours = objects.into_iter().filter(|object| object["apiVersion"] == "monitoring.coreos.com/v1");
    Ok(ours.collect())
}

/// The owned monitors and rules of groups with these names and labels, in an installation with these
/// defaults.
async fn rendered_groups(folder: &Path, groups: &[(&str, Value)], defaults: &Value) -> Outcome<Vec<Value>> {
    let group = |(name, labels): &(&str, Value)| {
        json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "consumerSpec": {"image": "orders:1", "topic": "orders"},
                "metrics": {"labels": labels}, "alerts": {"ruleLabels": labels},
            },
        })
        .to_string()
    };
    let file = folder.join("groups.yaml");
    std::fs::write(&file, groups.iter().map(group).collect::<Vec<_>>().join("\n---\n"))?;
    let installation = folder.join("defaults.yaml");
    std::fs::write(&installation, defaults.to_string())?;
    // Offline: no cluster of the person who runs the test is asked for the topic.
    let mut render = std::process::Command::new(build_operator().await?);
    let output = render
        .args(["render", "--offline", "--partitions", "orders=3", "--defaults"])
        .args([&installation, &file])
        .output()?;
    assert!(output.status.success(), "{output:?}");
    monitoring_objects(&String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn kube_prometheus_stack_loads_the_monitors_and_rules_of_the_operator_and_of_a_group() -> Outcome {
    let (monitoring, plane) = start().await?;
    let patch = format!("--patch={}", of_the_stack());
    plane.kubectl(&["patch", "prometheus", "k8s", "-n=monitoring", "--type=merge", &patch]).await?.ok()?;

    let folder = plane.folder().join("user");
    std::fs::create_dir_all(&folder)?;
    let copy = std::process::Command::new("cp").arg("-r").arg(deploy_folder()?).arg(&folder).status()?;
    assert!(copy.success());
    let own = json!({
        "resources": ["deploy/scopes/cluster"],
        "components": ["deploy/components/kube-prometheus-stack"],
    });
    std::fs::write(folder.join("kustomization.yaml"), own.to_string())?;
    let rendered = plane.kubectl(&["kustomize", &folder.display().to_string()]).await?.ok()?;
    let mut objects = monitoring_objects(&rendered)?;
    assert_eq!(objects.len(), 2, "{objects:?}");
    let groups = [("orders", json!({"release": "kube-prometheus-stack"})), ("unlabelled", json!({}))];
    objects.extend(rendered_groups(&folder, &groups, &json!({})).await?);
    // The same by the installation's defaults, so that no group repeats the label.
    let labels = json!({"release": "kube-prometheus-stack"});
    let defaults = json!({"metrics": {"labels": labels}, "alerts": {"ruleLabels": labels}});
    objects.extend(rendered_groups(&folder, &[("by-default", json!({}))], &defaults).await?);
    assert_eq!(objects.len(), 8, "{objects:?}");
    plane.kubectl(&["create", "namespace", "kconsumer-group-operator"]).await?.ok()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    plane.apply_yaml(&list.to_string()).await?;

    let files = plane.folder().join("prometheus");
    let expected = [
        "podMonitor/kconsumer-group-operator/kconsumer-group-operator/0",
        "serviceMonitor/default/orders/0",
        "alert: KconsumerGroupOperatorAbsent",
        "kconsumergroup: orders",
        "serviceMonitor/default/by-default/0",
        "kconsumergroup: by-default",
    ];
    let loaded = wait::until("the operator's and the group's jobs and rules", LIMIT, async || {
        monitoring.must_run()?;
        let text = text_below(&files);
        let missing = expected.iter().find(|part| !text.contains(**part));
        Ok(missing.map_or(Ok(text.clone()), |part| Err(format!("{part} is not in\n{text}"))))
    })
    .await?;
    assert!(!loaded.contains("unlabelled"), "without the label it would not be selected");
    Ok(())
}

/// The texts of all files below a folder.
fn text_below(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold(String::new(), |text, entry| {
        let path = entry.path();
        text + &if path.is_dir() {
            text_below(&path)
        } else {
            std::fs::read_to_string(&path).unwrap_or_default()
        }
    })
}
