//! `doctor` on real installations: it finds no fault on either overlay, and each fault that a test
//! causes fails its check with a cure.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds, Replica, pki};
use kcg_tests::env::{TestEnv, all_crds, api_server, install_pod_monitor_crd};
use kcg_tests::objects::group;
use kcg_tests::{Outcome, deploy, eventually, kubectl, operator_binary};
use serde_json::{Value, json};
use tokio::process::Command;

/// How long a fault may take to be found: discovery, schemas and autoscalers are read every few
/// seconds.
const FOUND_WITHIN: Duration = Duration::from_secs(45);

/// An installation, and its two processes as long as they run.
struct Installation {
    replicas: [Option<Replica>; 2],
    env: TestEnv,
}

const CONTROLLER: usize = 0;
const WEBHOOK: usize = 1;

impl Installation {
    async fn start_all(overlay: &str) -> Outcome<Self> {
        let plane = ControlPlane::builder().crds(all_crds()).start().await?;
        let env = TestEnv::install(plane, &deploy("overlays/cluster").join(overlay)).await?;
        let mut installation = Self { replicas: [None, None], env };
        installation.start(CONTROLLER).await?;
        installation.start(WEBHOOK).await?;
        installation.env.operator.wait_trusted(&installation.env.plane).await?;
        Ok(installation)
    }

    async fn start(&mut self, which: usize) -> Outcome {
        self.replicas[which] = Some(match which {
            CONTROLLER => self.env.operator.start_controller("one", &[]).await?,
            _ => self.env.operator.start_webhook(&[]).await?,
        });
        Ok(())
    }

    /// Terminates a process as a kubelet does.
    async fn stop(&mut self, which: usize) -> Outcome {
        let replica = self.replicas[which].take().ok_or("it does not run")?;
        replica.process().terminate(Duration::from_mins(1)).await?;
        Ok(())
    }

    /// An object without the fields that only the API server writes.
    async fn saved(&self, target: &[&str]) -> Outcome<Value> {
        let mut object = kubectl::get(&self.env.plane, target).await?;
        for field in ["resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"] {
            object["metadata"].as_object_mut().ok_or("no metadata")?.remove(field);
        }
        Ok(object)
    }

    async fn create(&self, object: &Value) -> Outcome {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        kubectl::create(&self.env.plane, namespace, object).await?;
        Ok(())
    }

    async fn patch(&self, target: &[&str], patch: Value) -> Outcome {
        Ok(kubectl::patch(&self.env.plane, target, &patch).await?)
    }

    async fn delete(&self, target: &[&str]) -> Outcome {
        self.env.kubectl(&[&["delete"], target].concat()).await?;
        Ok(())
    }

    async fn doctor_command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(operator_binary().await?);
        command.args(["doctor", "-o", "json", "--kubeconfig"]).arg(self.env.plane.kubeconfig_path());
        Ok(command)
    }

    /// Whether doctor succeeds, and the checks that it prints as JSON.
    async fn doctor(&self) -> anyhow::Result<(bool, Vec<Value>)> {
        let output = self.doctor_command().await?.output().await?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(report["healthy"], output.status.success(), "{report} {output:?}");
        Ok((output.status.success(), report["checks"].as_array().cloned().unwrap_or_default()))
    }

    /// Waits until a check fails, with this finding and this cure.
    async fn finds(&self, name: &str, found: &str, cure: &str) -> Outcome {
        let what = format!("{name} fails ({found})");
        let check = eventually(&what, FOUND_WITHIN, async || {
            let (well, checks) = self.doctor().await?;
            let check = checks.into_iter().find(|check| check["check"] == name).unwrap_or_default();
            let matches = check["found"].as_str().is_some_and(|text| text.contains(found));
            Ok(if !well && matches && check["state"] == "wrong" { Ok(check) } else { Err(check.to_string()) })
        })
        .await?;
        let advice = check["cure"].as_str().unwrap_or_default();
        assert!(advice.contains(cure), "{name}: the cure of {found:?} is {advice:?}");
        Ok(())
    }

    /// A chart that another tool rendered has the marks of Helm, too, but Helm stores no release of it.
    async fn cures_name_helm_if_it_has_the_release(&self, check: &str) -> Outcome {
        let deployment = ["deployment", "-n", names::NAMESPACE, names::CONTROLLER];
        let saved = self.saved(&deployment).await?;
        let annotations = json!({"meta.helm.sh/release-name": "kcg"});
        let labels = json!({"app.kubernetes.io/managed-by": "Helm"});
        self.patch(&deployment, json!({"metadata": {"labels": labels, "annotations": annotations}})).await?;
        self.finds(check, "it may not list", "Helm has no release of it").await?;
        let release = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {
                "name": "sh.helm.release.v1.kcg.v1", "namespace": names::NAMESPACE,
                "labels": {"owner": "helm", "name": "kcg"},
            },
        });
        self.create(&release).await?;
        self.finds(check, "it may not list", "helm upgrade kcg, with the chart of this version").await?;
        self.delete(&["secret", "-n", names::NAMESPACE, "sh.helm.release.v1.kcg.v1"]).await?;
        let label = saved["metadata"]["labels"]["app.kubernetes.io/managed-by"].clone();
        let undone = json!({
            "labels": {"app.kubernetes.io/managed-by": label},
            "annotations": {"meta.helm.sh/release-name": null},
        });
        self.patch(&deployment, json!({"metadata": undone})).await
    }

    /// Waits until no other check than these fails.
    async fn finds_only(&self, known: &[&str]) -> Outcome {
        eventually("no other check fails", FOUND_WITHIN, async || {
            let (_, checks) = self.doctor().await?;
            let bad = |check: &&Value| {
                !["ok", "note"].contains(&check["state"].as_str().unwrap_or_default())
                    && !known.contains(&check["check"].as_str().unwrap_or_default())
            };
            Ok(match checks.iter().find(bad) {
                Some(check) => Err(check.to_string()),
                None if checks.is_empty() => Err("no checks".to_owned()),
                None => Ok(()),
            })
        })
        .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_no_fault_on_either_overlay() -> Outcome {
    for overlay in ["self-managed", "cert-manager"] {
        let installation = Installation::start_all(overlay).await?;
        installation.finds_only(&[]).await.map_err(|error| format!("{overlay}: {error}"))?;
        assert!(installation.doctor().await?.0, "{overlay}");
        if overlay == "cert-manager" {
            // As kustomize's `namespace:` leaves it without the transformer.
            let annotation = "cert-manager.io/inject-ca-from=elsewhere/kconsumer-group-operator-webhook";
            let validating = VALIDATING.join("/");
            installation.env.kubectl(&["annotate", "--overwrite", &validating, annotation]).await?;
            let bundle = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
            installation.patch(&VALIDATING, bundle).await?;
            installation
                .finds("validating configuration", "its caBundle is empty", "deploy/transformers/namespace")
                .await?;
        }
        // Nothing recreates a webhook configuration, so doctor has to report that it is missing.
        installation.delete(&VALIDATING).await?;
        installation
            .finds("validating configuration", "it does not exist", "apply the operator's overlay again")
            .await
            .map_err(|error| format!("{overlay}: {error}"))?;
    }
    Ok(())
}

const CRD: [&str; 2] = ["crd", "kconsumergroups.thenextapps.com"];
const SECRET: [&str; 4] = ["secret", names::CERTIFICATE_SECRET, "-n", names::NAMESPACE];
const MUTATING: [&str; 2] = ["mutatingwebhookconfiguration", names::NAMESPACE];
const VALIDATING: [&str; 2] = ["validatingwebhookconfiguration", names::NAMESPACE];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_each_fault_of_an_installation_with_its_cure() -> Outcome {
    let mut installation = Installation::start_all("self-managed").await?;

    // The CRD, older and newer.
    let crd = installation.saved(&CRD).await?.to_string();
    for (version, found) in [("0.0.9", "older than this binary"), ("0.99.0", "newer than this binary")] {
        let other: Value = serde_json::from_str(
            &crd.replace("group-operator 0.1.0.", &format!("group-operator {version}.")),
        )?;
        let about = &other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"];
        let path = "/spec/versions/0/schema/openAPIV3Schema/description";
        installation.patch(&CRD, json!([{"op": "replace", "path": path, "value": about}])).await?;
        installation
            .finds(
                "CRD",
                found,
                if version == "0.0.9" { "kubectl apply -k deploy/crd" } else { "upgrade the operator" },
            )
            .await?;
    }
    installation.env.plane.apply_path(&deploy("crd")).await?;
    installation.finds_only(&[]).await?;

    // The permissions of each process.
    for (process, name) in [("controller", names::CONTROLLER), ("webhook", names::WEBHOOK)] {
        let role = ["clusterrole", name];
        let saved = installation.saved(&role).await?;
        installation.patch(&role, json!([{"op": "remove", "path": "/rules/0"}])).await?;
        installation
            .finds(
                &format!("permissions of the {process}"),
                "it may not list",
                "apply the operator's overlay again",
            )
            .await?;
        if process == "controller" {
            installation.cures_name_helm_if_it_has_the_release("permissions of the controller").await?;
        }
        installation.patch(&role, json!({"rules": saved["rules"]})).await?;
    }
    installation.finds_only(&[]).await?;

    // The processes.
    installation.stop(WEBHOOK).await?;
    installation.finds("webhook /validate", "no group can be created", "get pods").await?;
    installation.finds("webhook /mutate", "", "get pods").await?;
    let mut waiting = installation.doctor_command().await?;
    let waiting = waiting.args(["--wait", "2m"]).stdout(std::process::Stdio::null()).spawn()?;
    installation.start(WEBHOOK).await?;
    let waited = waiting.wait_with_output().await?;
    assert!(waited.status.success(), "doctor --wait ends as soon as the installation is healthy");
    installation.stop(CONTROLLER).await?;
    installation.finds("controller", "there is no leader", "get pods").await?;
    let deployment = format!("deployment/{}", names::CONTROLLER);
    let set = ["set", "env", "-n", names::NAMESPACE, &deployment];
    installation.env.kubectl(&[&set[..], &["KCG_LEADER_ELECT=false"]].concat()).await?;
    let scale = ["scale", "-n", names::NAMESPACE, &deployment];
    installation.env.kubectl(&[&scale[..], &["--replicas=2"]].concat()).await?;
    installation
        .finds("controller", "its Deployment has 2 replicas, which all write", "replicas to 1")
        .await?;
    installation.env.kubectl(&[&scale[..], &["--replicas=0"]].concat()).await?;
    installation.env.kubectl(&[&set[..], &["KCG_LEADER_ELECT-"]].concat()).await?;

    // The webhook configurations, while no controller repairs them.
    for (configuration, check) in
        [(MUTATING, "mutating configuration"), (VALIDATING, "validating configuration")]
    {
        let saved = installation.saved(&configuration).await?;
        let bundle = "/webhooks/0/clientConfig/caBundle";
        installation.patch(&configuration, json!([{"op": "remove", "path": bundle}])).await?;
        installation.finds(check, "its caBundle is empty", "caBundle").await?;
        let stranger = pki::Ca::new("stranger")?;
        let stranger = base64_of(stranger.certificate());
        installation.patch(&configuration, json!([{"op": "add", "path": bundle, "value": stranger}])).await?;
        installation.finds(check, "a CA that is not trusted", "write the CA").await?;
        installation.delete(&configuration).await?;
        installation.finds(check, "it does not exist", "apply the operator's overlay again").await?;
        if configuration == VALIDATING {
            installation.delete(&MUTATING).await?;
            installation
                .finds(
                    "webhook /validate",
                    "an invalid group is accepted",
                    "apply the operator's overlay again",
                )
                .await?;
        }
        installation.create(&saved).await?;
    }

    // The certificate.
    let saved = installation.saved(&SECRET).await?;
    let stranger = pki::Ca::new("stranger")?.server(&["other.example.com"])?;
    let (certificate, key) = (base64_of(&stranger.certificate), base64_of(&stranger.key));
    installation.patch(&SECRET, json!({"data": {"tls.key": key}})).await?;
    installation.finds("certificate", "key", "the controller's log").await?;
    installation.patch(&SECRET, json!({"data": {"tls.crt": certificate}})).await?;
    installation.finds("certificate", "it is not valid for", "the controller's log").await?;
    installation.delete(&SECRET).await?;
    installation.finds("certificate", "it does not exist", "the controller's log").await?;
    installation.create(&saved).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_crd_doctor_says_how_to_install_it() -> Outcome {
    let plane = api_server(Crds::default()).await?;
    let mut command = Command::new(operator_binary().await?);
    command.args(["doctor", "-o", "json", "--kubeconfig"]).arg(plane.kubeconfig_path());
    let report: Value = serde_json::from_slice(&command.output().await?.stdout)?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let crd = checks.iter().find(|check| check["check"] == "CRD").ok_or("no check of the CRD")?;
    assert_eq!([&crd["state"], &crd["found"]], ["wrong", "KconsumerGroups are not served"]);
    assert!(crd["cure"].as_str().is_some_and(|cure| cure.contains("kubectl apply -k deploy/crd")), "{crd}");
    let unknown: Vec<&Value> = checks.iter().filter(|check| check["state"] == "unknown").collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_each_fault_of_groups_with_its_cure() -> Outcome {
    let installation = Installation::start_all("self-managed").await?;
    installation.env.plane.add_node("node-1").await?;
    for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
        installation.env.create_sample(sample).await?;
    }
    installation.finds("custom metrics API", "not served", "prometheus-adapter").await?;
    installation
        .finds("autoscalers", "default/kconsumer: FailedGetPodsMetric", "the metric is missing")
        .await?;
    // The status of the group names the part of the metrics pipeline that fails.
    let reason = r#"{.status.conditions[?(@.type=="MetricsAvailable")].reason}"#;
    let reason_is = format!("--for=jsonpath={reason}=MetricsApiUnavailable");
    installation.env.kubectl(&["wait", "kcg/kconsumer", &reason_is, "--timeout=30s"]).await?;

    let known = ["custom metrics API", "autoscalers"];
    installation.finds_only(&known).await?;
    installation.env.kubectl(&["create", "service", "clusterip", "taken", "--tcp=80"]).await?;
    installation.create(&group("taken", &json!({}))).await?;
    installation.finds("groups", "default/taken: NameConflict", "docs/troubleshooting.md").await?;
    installation.delete(&["kcg", "taken"]).await?;
    installation.delete(&["service", "taken"]).await?;
    installation.finds_only(&known).await?;

    // A Prometheus that selects a label that the ServiceMonitor lacks, and then gets.
    installation.env.plane.install_prometheus_crd().await?;
    let prometheus = |label: &str| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
            "metadata": {"name": "k8s", "namespace": "default"},
            "spec": {
                "serviceMonitorSelector": {"matchLabels": {"release": label}}, "serviceMonitorNamespaceSelector": {},
                "podMonitorSelector": {"matchLabels": {"release": label}}, "podMonitorNamespaceSelector": {},
                "ruleSelector": {"matchLabels": {"release": label}}, "ruleNamespaceSelector": {},
            },
        })
    };
    installation.create(&prometheus("one")).await?;
    installation
        .finds(
            "scraping",
            "no Prometheus selects the ServiceMonitor default/kconsumer",
            "set spec.metrics.labels to match one of these: default/k8s for release=one",
        )
        .await?;
    installation
        .patch(&["kcg", "kconsumer"], json!({"spec": {"metrics": {"labels": {"release": "one"}}}}))
        .await?;
    installation
        .finds(
            "alerting",
            "no Prometheus selects the PrometheusRule default/kconsumer (labels: prometheus=k8s,role=alert-rules)",
            "set spec.alerts.ruleLabels to match one of these: default/k8s for release=one",
        )
        .await?;
    installation
        .patch(&["kcg", "kconsumer"], json!({"spec": {"alerts": {"ruleLabels": {"release": "one"}}}}))
        .await?;
    installation.finds_only(&known).await?;

    // The operator's own PodMonitor and PrometheusRule, which the component monitoring adds.
    install_pod_monitor_crd(&installation.env.plane).await?;
    for (kind, check, spec) in [
        ("PodMonitor", "scraping of the operator", json!({"selector": {}, "podMetricsEndpoints": []})),
        ("PrometheusRule", "alerting of the operator", json!({"groups": []})),
    ] {
        let labels = json!({"app.kubernetes.io/name": names::OPERATOR});
        let metadata = json!({"name": names::OPERATOR, "namespace": names::NAMESPACE, "labels": labels});
        let api_version = "monitoring.coreos.com/v1";
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
        installation.create(&object).await?;
        let found = format!("no Prometheus selects the {kind} {0}/{0}", names::OPERATOR);
        installation.finds(check, &found, "deploy/components/kube-prometheus-stack").await?;
        let target = [kind, names::OPERATOR, "-n", names::NAMESPACE];
        installation.patch(&target, json!({"metadata": {"labels": {"release": "one"}}})).await?;
    }
    installation.finds_only(&known).await?;

    // A namespace without the operator.
    let elsewhere = installation.doctor_command().await?.args(["-n", "default"]).output().await?;
    let report = String::from_utf8(elsewhere.stdout)?;
    let cure = format!("name the operator's --namespace: it is in {}", names::NAMESPACE);
    assert!(report.contains(&cure), "{report}");

    for (crd, check) in [
        ("kafkatopics.kafka.strimzi.io", "KafkaTopics"),
        ("servicemonitors.monitoring.coreos.com", "ServiceMonitors"),
        ("prometheusrules.monitoring.coreos.com", "PrometheusRules"),
    ] {
        installation.delete(&["crd", crd]).await?;
        installation.finds(check, "not served", "install").await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_cluster_doctor_prints_one_sentence() -> Outcome {
    let output =
        Command::new(operator_binary().await?).args(["doctor", "--kubeconfig", "/nowhere"]).output().await?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("read kubeconfig /nowhere") && stderr.lines().count() == 1, "{stderr}");
    Ok(())
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
