//! The stand-in for prometheus-adapter as a local process: the shipped rules, the real Prometheus,
//! the real API server.

use std::time::Duration;

use kcg_closed_loop::{MetricsAdapter, Monitoring};
use kcg_devcluster::{ControlPlane, Port, Process, deploy_folder, wait};
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const LIMIT: Duration = Duration::from_mins(1);
const METRIC: &str = "kafka_consumer_fetch_manager_records_lag_max";
const LAG: &str = "kafka_consumer_fetch_manager_records_lag";
const ASSIGNED: &str = "kafka_consumer_coordinator_assigned_partitions";
const SUM: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";
const MAX: &str = "kafka_consumer_fetch_manager_records_lag_pod_max";
const PODS: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods";

/// The lag as it would be scraped, and the pods that it belongs to.
fn objects() -> String {
    let one = |metric: &str, pod: &str, topic: &str, partition: &str, value: &str| {
        json!({
            "record": metric, "expr": value,
            "labels": {"namespace": "default", "pod": pod, "topic": topic, "partition": partition},
        })
    };
    let series = |pod: &str, partition: &str, value: &str| one(METRIC, pod, "t", partition, value);
    let lag = |pod: &str, topic: &str, partition: &str, value: &str| one(LAG, pod, topic, partition, value);
    let assigned = |pod: &str, count: &str| one(ASSIGNED, pod, "", "", count);
    let pod = |name: &str, app: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"containers": [{"name": "consumer", "image": "example.com/consumer"}]},
        })
    };
    let rule = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {
            "name": "lag", "namespace": "default", "labels": {"prometheus": "k8s", "role": "alert-rules"},
        },
        "spec": {"groups": [{"name": "lag", "rules": [
            series("busy", "0", "vector(3)"),
            series("busy", "1", "vector(7.5)"),
            series("busy", "2", "vector(0) / 0"),
            series("idle", "3", "vector(0) / 0"),
            series("other", "4", "vector(9)"),
            assigned("busy", "vector(3)"), assigned("idle", "vector(0)"), assigned("silent", "vector(1)"),
            lag("busy", "a.b", "0", "vector(3)"), lag("busy", "a_b", "0", "vector(3)"),
            lag("busy", "a_b", "1", "vector(7.5)"), lag("busy", "a_b", "2", "vector(0) / 0"),
        ]}]},
    });
    let payments = ["busy", "idle", "silent"].map(|name| pod(name, "payments"));
    let objects = [vec![rule, pod("other", "else")], payments.to_vec()].concat();
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// An adapter with these rules at its own port.
async fn start(plane: &ControlPlane, monitoring: &Monitoring, rules: &str, port: &Port) -> Outcome<Process> {
    let (_, program) = MetricsAdapter::image().await?;
    let file = plane.folder().join("rules.yaml");
    std::fs::write(&file, rules)?;
    let kubeconfig = plane.kubeconfig_path().display();
    let flags = [
        format!("--config={}", file.display()),
        format!("--prometheus-url={}", monitoring.url()),
        "--metrics-relist-interval=1s".to_owned(),
        "--metrics-max-age=1m".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", plane.folder().join("adapter").display()),
        format!("--lister-kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
    ];
    Ok(Process::start("metrics-adapter", &program, &flags, plane.folder())?)
}

/// The APIService, with a Service that is an alias of localhost.
fn registration(port: &Port) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "adapter", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
        "spec": {
            "group": "custom.metrics.k8s.io", "version": "v1beta2",
            "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"name": "adapter", "namespace": "default", "port": port.number()},
        },
    });
    format!("{service}\n---\n{api}\n")
}

/// Waits until the group's pods have these values.
async fn values(
    plane: &ControlPlane,
    adapter: &Process,
    metric: &str,
    expected: &[(&str, &str)],
) -> kcg_devcluster::Result<()> {
    let path = format!("{PODS}/*/{metric}?labelSelector=app%3Dpayments");
    wait::until(&format!("the values {expected:?}"), LIMIT, async || {
        adapter.must_run()?;
        let answer = plane.kubectl(&["get", "--raw", &path]).await?;
        let list: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let mut seen: Vec<(&str, &str)> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| Some((item["describedObject"]["name"].as_str()?, item["value"].as_str()?)))
            .collect();
        seen.sort_unstable();
        Ok(if answer.code == 0 && seen == expected {
            Ok(())
        } else {
            Err(format!("{seen:?} {}", answer.stderr))
        })
    })
    .await
}

/// The API server's error for a request that has no answer.
async fn refusal(plane: &ControlPlane, what: &str) -> Outcome<String> {
    let answer = plane.kubectl(&["get", "--raw", &format!("{PODS}/{what}")]).await?;
    assert_ne!(answer.code, 0, "{}", answer.stdout);
    Ok(answer.stderr)
}

#[tokio::test]
async fn the_shipped_rules_serve_both_statistics_and_the_metric_of_earlier_versions_without_nan() -> Outcome {
    let plane = ControlPlane::builder().scheduler(false).controller_manager(false).start().await?;
    let monitoring = Monitoring::start(&plane).await?;
    plane.apply_yaml(&objects()).await?;
    let shipped = std::fs::read_to_string(deploy_folder()?.join("prometheus-adapter/rules.yaml"))?;
    let port = Port::take()?;
    plane.apply_yaml(&registration(&port)).await?;

    let adapter = start(&plane, &monitoring, &shipped, &port).await?;
    // A partition counts once, a pod without partitions has no lag, and a silent one is missing.
    values(&plane, &adapter, SUM, &[("busy", "10500m"), ("idle", "0")]).await?;
    values(&plane, &adapter, MAX, &[("busy", "7500m"), ("idle", "0")]).await?;
    values(&plane, &adapter, METRIC, &[("busy", "7500m")]).await?;
    let one = plane.kubectl(&["get", "--raw", &format!("{PODS}/other/{METRIC}")]).await?.ok()?;
    let one: Value = serde_json::from_str(&one)?;
    assert_eq!(
        (&one["items"][0]["value"], &one["items"][0]["metric"]["name"]),
        (&json!("9"), &json!(METRIC))
    );
    let idle = refusal(&plane, &format!("idle/{METRIC}")).await?;
    assert!(idle.contains(&format!("could not find the metric {METRIC} for pods idle")), "{idle}");
    drop(adapter);

    // Without the comparison, an idle pod seems to have no lag. The shipped rule prevents that.
    let naive = shipped.replace(" >= 0 < Inf", "");
    assert_ne!(naive, shipped);
    let adapter = start(&plane, &monitoring, &naive, &port).await?;
    values(&plane, &adapter, METRIC, &[("busy", "7500m"), ("idle", "0")]).await?;
    drop(adapter);

    let adapter = start(&plane, &monitoring, "rules: []", &port).await?;
    wait::until("the metric to be unknown", LIMIT, async || {
        adapter.must_run()?;
        let stderr = plane.kubectl(&["get", "--raw", &format!("{PODS}/*/{METRIC}")]).await?.stderr;
        Ok(if stderr.contains(&format!("could not find the metric {METRIC} for pods")) {
            Ok(())
        } else {
            Err(stderr)
        })
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn unsupported_rules_end_the_adapter_with_a_reason() -> Outcome {
    let (_, program) = MetricsAdapter::image().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules.yaml");
    for (rules, why) in [
        (
            "rules: [{seriesQuery: a, metricsQuery: '<<.Series', resources: {template: '<<.Resource>>'}}]",
            "metricsQuery",
        ),
        ("rules: [{seriesQuery: a, metricsQuery: a}]", "resources names no label for namespace"),
        ("rules: [{seriesQuery: a, metricsQuery: a, seriesFilters: []}]", "unknown field"),
    ] {
        std::fs::write(&file, rules)?;
        let flags = [format!("--config={}", file.display())];
        let adapter = Process::start("metrics-adapter", &program, &flags, folder.path())?;
        assert!(!adapter.wait(LIMIT).await?.success());
        assert!(adapter.log().contains(why), "{why}: {}", adapter.log());
    }
    Ok(())
}
