//! `doctor` on real installations: all is well on both overlays, and each fault that is put in turns its check red with
//! the cure beside it.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds, Operator, Replica, deploy_folder, pki, wait};
use serde_json::{Value, json};
use tokio::process::Command;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long a fault may take to show: discovery, schemas and autoscalers are looked at every few seconds.
const SHOWS: Duration = Duration::from_secs(45);

/// An installation, and its two processes where they run.
struct Place {
    replicas: [Option<Replica>; 2],
    operator: Operator,
    plane: ControlPlane,
}

const CONTROLLER: usize = 0;
const WEBHOOK: usize = 1;

impl Place {
    async fn open(overlay: &str) -> Outcome<Self> {
        let deploy = deploy_folder()?;
        let plane = ControlPlane::builder().crds(Crds::all(deploy.join("crd"))).start().await?;
        let overlay = deploy.join("overlays/cluster").join(overlay);
        let operator = Operator::install(&plane, &overlay, kcg_tests::operator_binary().await?).await?;
        let mut place = Self { replicas: [None, None], operator, plane };
        place.start(CONTROLLER).await?;
        place.start(WEBHOOK).await?;
        place.operator.wait_trusted(&place.plane).await?;
        Ok(place)
    }

    async fn start(&mut self, which: usize) -> Outcome {
        self.replicas[which] = Some(match which {
            CONTROLLER => self.operator.start_controller("one", &[]).await?,
            _ => self.operator.start_webhook(&[]).await?,
        });
        Ok(())
    }

    /// Ends a process as a pod is ended.
    async fn end(&mut self, which: usize) -> Outcome {
        let replica = self.replicas[which].take().ok_or("it does not run")?;
        replica.process().terminate(Duration::from_mins(1)).await?;
        Ok(())
    }

    async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(self.plane.kubectl(args).await?.ok()?)
    }

    /// An object without what only the server writes.
    async fn saved(&self, what: &[&str]) -> Outcome<Value> {
        let text = self.kubectl(&[&["get"], what, &["-o", "json"]].concat()).await?;
        let mut object: Value = serde_json::from_str(&text)?;
        for field in ["resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"] {
            object["metadata"].as_object_mut().ok_or("no metadata")?.remove(field);
        }
        Ok(object)
    }

    async fn write_new(&self, object: &Value) -> Outcome {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), object.to_string())?;
        self.kubectl(&["create", "-f", &file.path().display().to_string()]).await?;
        Ok(())
    }

    async fn patch(&self, what: &[&str], patch: Value) -> Outcome {
        let patch = patch.to_string();
        let kind = if patch.starts_with('[') { "--type=json" } else { "--type=merge" };
        self.kubectl(&[&["patch"], what, &[kind, "-p", &patch]].concat()).await?;
        Ok(())
    }

    /// What doctor says as JSON, and whether it ended well.
    async fn doctor(&self) -> kcg_devcluster::Result<(bool, Vec<Value>)> {
        let mut command = Command::new(kcg_tests::operator_binary().await?);
        command.args(["doctor", "-o", "json", "--kubeconfig"]).arg(self.plane.kubeconfig_path());
        let failed = |source| kcg_devcluster::Error::Start { program: "doctor".into(), source };
        let output = command.output().await.map_err(failed)?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(report["healthy"], output.status.success(), "{report} {output:?}");
        Ok((output.status.success(), report["checks"].as_array().cloned().unwrap_or_default()))
    }

    /// Waits until a check is wrong, for this reason and with this cure.
    async fn shows(&self, name: &str, found: &str, cure: &str) -> Outcome {
        let what = format!("{name} to be wrong ({found})");
        let check = wait::until(&what, SHOWS, async || {
            let (well, checks) = self.doctor().await?;
            let check = checks.into_iter().find(|check| check["check"] == name).unwrap_or_default();
            let says = check["found"].as_str().is_some_and(|text| text.contains(found));
            Ok(if !well && says && check["state"] == "wrong" { Ok(check) } else { Err(check.to_string()) })
        })
        .await?;
        let said = check["cure"].as_str().unwrap_or_default();
        assert!(said.contains(cure), "{name}: the cure of {found:?} is {said:?}");
        Ok(())
    }

    /// Waits until none of the checks is wrong but these.
    async fn well_but_for(&self, known: &[&str]) -> Outcome {
        wait::until("all to be well again", SHOWS, async || {
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
async fn on_each_overlay_all_is_well() -> Outcome {
    for overlay in ["self-managed", "cert-manager"] {
        let place = Place::open(overlay).await?;
        place.well_but_for(&[]).await.map_err(|error| format!("{overlay}: {error}"))?;
        assert!(place.doctor().await?.0, "{overlay}");
        // Nobody makes a registration anew; somebody has to say that it is gone.
        place.kubectl(&delete(&VALIDATING)).await?;
        place
            .shows("validating registration", "there is none", "apply the operator's overlay again")
            .await
            .map_err(|error| format!("{overlay}: {error}"))?;
    }
    Ok(())
}

const CRD: [&str; 2] = ["crd", "kconsumergroups.thenextapps.com"];
const SECRET: [&str; 4] = ["secret", names::CERTIFICATE_SECRET, "-n", names::NAMESPACE];
const MUTATING: [&str; 2] = ["mutatingwebhookconfiguration", names::NAMESPACE];
const VALIDATING: [&str; 2] = ["validatingwebhookconfiguration", names::NAMESPACE];

fn delete<'a>(what: &[&'a str]) -> Vec<&'a str> {
    [&["delete"], what].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_installation_lacks_is_found_with_its_cure() -> Outcome {
    let mut place = Place::open("self-managed").await?;

    // The CRD, older and newer.
    let crd = place.saved(&CRD).await?.to_string();
    for (version, found) in [("0.0.9", "older than this binary"), ("0.99.0", "newer than this binary")] {
        let other: Value = serde_json::from_str(
            &crd.replace("group-operator 0.1.0.", &format!("group-operator {version}.")),
        )?;
        let about = &other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"];
        let path = "/spec/versions/0/schema/openAPIV3Schema/description";
        place.patch(&CRD, json!([{"op": "replace", "path": path, "value": about}])).await?;
        place
            .shows(
                "CRD",
                found,
                if version == "0.0.9" { "kubectl apply -k deploy/crd" } else { "upgrade the operator" },
            )
            .await?;
    }
    place.plane.apply_path(&deploy_folder()?.join("crd")).await?;
    place.well_but_for(&[]).await?;

    // The rights of either process.
    for (who, index) in [("controller", names::CONTROLLER), ("webhook", names::WEBHOOK)] {
        let role = ["clusterrole", index];
        let saved = place.saved(&role).await?;
        place.patch(&role, json!([{"op": "remove", "path": "/rules/0"}])).await?;
        place
            .shows(&format!("rights of the {who}"), "it may not list", "apply the operator's overlay again")
            .await?;
        place.patch(&role, json!({"rules": saved["rules"]})).await?;
    }
    place.well_but_for(&[]).await?;

    // The processes.
    place.end(WEBHOOK).await?;
    place.shows("webhook /validate", "no group can be written", "get pods").await?;
    place.shows("webhook /mutate", "", "get pods").await?;
    place.start(WEBHOOK).await?;
    place.end(CONTROLLER).await?;
    place.shows("controller", "none leads", "get pods").await?;

    // The registrations, while nobody repairs them.
    for (registration, check) in
        [(MUTATING, "mutating registration"), (VALIDATING, "validating registration")]
    {
        let saved = place.saved(&registration).await?;
        let bundle = "/webhooks/0/clientConfig/caBundle";
        place.patch(&registration, json!([{"op": "remove", "path": bundle}])).await?;
        place.shows(check, "its caBundle is empty", "caBundle").await?;
        let stranger = pki::Ca::new("stranger")?;
        let stranger = base64_of(stranger.certificate());
        place.patch(&registration, json!([{"op": "add", "path": bundle, "value": stranger}])).await?;
        place.shows(check, "an authority that is not trusted", "write the authority").await?;
        place.kubectl(&delete(&registration)).await?;
        place.shows(check, "there is none", "apply the operator's overlay again").await?;
        if registration == VALIDATING {
            place.kubectl(&delete(&MUTATING)).await?;
            place
                .shows("webhook /validate", "a bad group is let in", "apply the operator's overlay again")
                .await?;
        }
        place.write_new(&saved).await?;
    }

    // The certificate.
    let saved = place.saved(&SECRET).await?;
    let stranger = pki::Ca::new("stranger")?.server(&["other.example.com"])?;
    let (certificate, key) = (base64_of(&stranger.certificate), base64_of(&stranger.key));
    place.patch(&SECRET, json!({"data": {"tls.key": key}})).await?;
    place.shows("certificate", "key", "the controller's log").await?;
    place.patch(&SECRET, json!({"data": {"tls.crt": certificate}})).await?;
    place.shows("certificate", "it is not for", "the controller's log").await?;
    place.kubectl(&delete(&SECRET)).await?;
    place.shows("certificate", "there is none", "the controller's log").await?;
    place.write_new(&saved).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_groups_lack_is_found_with_its_cure() -> Outcome {
    let place = Place::open("self-managed").await?;
    let samples = deploy_folder()?.join("samples");
    place.plane.add_node("node-1").await?;
    for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
        place.plane.apply_path(&samples.join(sample)).await?;
    }
    place.shows("custom metrics API", "not served", "prometheus-adapter").await?;
    place.shows("autoscalers", "default/kconsumer: FailedGetPodsMetric", "the metric is missing").await?;
    // The group itself tells which part of the lag's way it is.
    let reason = r#"{.status.conditions[?(@.type=="MetricsAvailable")].reason}"#;
    let said = format!("--for=jsonpath={reason}=MetricsApiUnavailable");
    place.kubectl(&["wait", "kcg/kconsumer", &said, "--timeout=30s"]).await?;

    let known = ["custom metrics API", "autoscalers"];
    place.well_but_for(&known).await?;
    place.kubectl(&["create", "service", "clusterip", "taken", "--tcp=80"]).await?;
    place
        .write_new(&json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": "taken", "namespace": "default"},
            "spec": {"consumerSpec": {"image": "consumer:1", "topic": "fast-data-topic"}},
        }))
        .await?;
    place.shows("groups", "default/taken: NameConflict", "docs/troubleshooting.md").await?;
    place.kubectl(&["delete", "kcg", "taken"]).await?;
    place.kubectl(&["delete", "service", "taken"]).await?;
    place.well_but_for(&known).await?;

    // A Prometheus that asks for a label that the monitor does not have, then one that it has.
    place.plane.install_prometheus_crd().await?;
    let prometheus = |label: &str| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
            "metadata": {"name": "k8s", "namespace": "default"},
            "spec": {"serviceMonitorSelector": {"matchLabels": {"release": label}}, "serviceMonitorNamespaceSelector": {}},
        })
    };
    place.write_new(&prometheus("one")).await?;
    place.shows("scraping", "no Prometheus selects default/kconsumer", "default/k8s for release=one").await?;
    place.patch(&["kcg", "kconsumer"], json!({"spec": {"metrics": {"labels": {"release": "one"}}}})).await?;
    place.well_but_for(&known).await?;

    for (crd, check) in [
        ("kafkatopics.kafka.strimzi.io", "KafkaTopics"),
        ("servicemonitors.monitoring.coreos.com", "ServiceMonitors"),
        ("prometheusrules.monitoring.coreos.com", "PrometheusRules"),
    ] {
        place.kubectl(&["delete", "crd", crd]).await?;
        place.shows(check, "not served", "install").await?;
    }
    Ok(())
}

#[tokio::test]
async fn where_there_is_no_cluster_one_sentence_says_so() -> Outcome {
    let output = Command::new(kcg_tests::operator_binary().await?)
        .args(["doctor", "--kubeconfig", "/nowhere"])
        .output()
        .await?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("read kubeconfig /nowhere") && said.lines().count() == 1, "{said}");
    Ok(())
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
