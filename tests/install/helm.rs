//! The charts, installed, upgraded and uninstalled on a real API server. Pods do not run there; one
//! controller runs with the chart's ServiceAccount.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use kcg_api::names;
use kcg_certs::Ca;
use kcg_devcluster::{ControlPlane, KubectlOutput, Port, Process};
use kcg_tests::certificate::WebhookCertificate;
use kcg_tests::env::{api_server, foreign_crds};
use kcg_tests::helm::{OPERATOR, RESOURCE};
use kcg_tests::load::{Load, assert_no_failures};
use kcg_tests::{Outcome, deploy, eventually, kubectl, met, operator_binary, repository};
use serde_json::json;
use tempfile::TempDir;

use crate::LOAD;
use crate::documented::{OLDER, Shell, THIS, block, installed_version, make_this_version, older_version};
use crate::removal::left_of_the_operator;

const DOCS: &str = "docs/operations.md";

/// The entries of the Secret, and the CA bundles of both webhook configurations.
type Trust = (BTreeMap<String, ByteString>, Vec<Vec<u8>>);

async fn trust(certificate: &WebhookCertificate) -> anyhow::Result<Trust> {
    Ok((certificate.secret().await?.data.unwrap_or_default(), certificate.ca_bundles().await?))
}

/// The CA and the CA bundles, not the certificate: cert-manager issues another one of the same CA if the
/// chart has another duration.
fn trusted((entries, bundles): &Trust) -> (Option<&ByteString>, &[Vec<u8>]) {
    (entries.get("ca.crt"), bundles)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_installs_upgrades_and_uninstalls_the_operator_and_the_groups_stay() -> Outcome {
    let plane = ControlPlane::builder().scheduler(false).crds(foreign_crds()).start().await?;
    let certificate = WebhookCertificate::new(&plane.client().await?);
    let folder = older_version().await?;
    let shell = Shell::open_in(folder.path(), &plane, "".as_ref()).await?;

    let install = block("README.md", "## Install it on a cluster of your own", "helm ")?;
    shell.run(&install).await?;
    assert_eq!(installed_version(&plane).await?, OLDER);
    let second =
        "helm install second deploy/charts/kconsumer-group-operator --namespace kconsumer-group-operator";
    let refused = shell.try_run(second).await?;
    assert!(
        refused.stderr.contains("has the release kconsumer-group-operator of this chart"),
        "{}",
        refused.stderr
    );

    let kubeconfig = plane.kubeconfig_for(names::NAMESPACE, names::CONTROLLER).await?;
    let (metrics, probes) = (Port::take()?, Port::take()?);
    let flags = [
        "controller".to_owned(),
        "--certificate-mode=self-managed".to_owned(),
        "--identity=one".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--metrics-bind-address={}", metrics.address()),
        format!("--health-probe-bind-address={}", probes.address()),
    ];
    let controller = Process::start("controller", operator_binary().await?, flags, plane.folder())?;
    let issued = eventually("a certificate that is trusted", Duration::from_mins(1), async || {
        controller.must_run()?;
        let (entries, bundles) = trust(&certificate).await?;
        let complete = entries.contains_key("tls.crt") && bundles.iter().all(|bundle| !bundle.is_empty());
        Ok(if complete { Ok((entries, bundles)) } else { Err(format!("{:?}, {bundles:?}", entries.keys())) })
    })
    .await?;
    // No webhook runs here, so the group is written while the webhook's failure is ignored.
    let failure_policy =
        |value: &str| json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": value}]);
    let validating = ["validatingwebhookconfiguration", names::NAMESPACE];
    kubectl::patch(&plane, &validating, &failure_policy("Ignore")).await?;
    plane.apply_path(&folder.path().join("deploy/samples/short.yaml")).await?;
    let groups = [
        "get",
        "kcg",
        "-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.generation}{end}",
    ];
    let group = kubectl::run(&plane, &groups).await?;
    assert!(!group.is_empty());
    kubectl::patch(&plane, &validating, &failure_policy("Fail")).await?;

    make_this_version(folder.path()).await?;
    shell.run(&block(DOCS, "## Helm", "helm upgrade")?).await?;
    assert_eq!(installed_version(&plane).await?, THIS);
    assert_eq!(trust(&certificate).await?, issued, "the upgrade keeps the certificate and the CA bundles");
    assert_eq!(kubectl::run(&plane, &groups).await?, group);

    // Pods on the host network would be refused, and without them every group.
    let enforce = ["label", "namespace", names::NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"];
    kubectl::run(&plane, &enforce).await?;
    let upgrade = block(DOCS, "## Helm", "helm upgrade")?;
    let refused = shell.try_run(&format!("{} --set webhook.hostNetwork=true", upgrade.trim())).await?;
    assert_ne!(refused.code, 0);
    for text in ["webhook.hostNetwork=true", "pod-security.kubernetes.io/enforce=restricted", "to privileged"]
    {
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }

    drop(controller);
    shell.run(&block(DOCS, "## Helm", "helm uninstall")?).await?;
    assert_eq!(
        left_of_the_operator(&plane).await?,
        [
            "clusterrole.rbac.authorization.k8s.io/kconsumer-group-operator-edit",
            "clusterrole.rbac.authorization.k8s.io/kconsumer-group-operator-view",
            "customresourcedefinition.apiextensions.k8s.io/kconsumergroups.thenextapps.com",
        ]
    );
    // The owner of the group can still read and delete it.
    kubectl::run(&plane, &["create", "rolebinding", "owner", "--clusterrole=edit", "--user=owner"]).await?;
    for verb in ["get", "delete"] {
        let may = ["auth", "can-i", verb, names::PLURAL, "--as=owner"];
        assert_eq!(kubectl::run(&plane, &may).await?.trim(), "yes", "{verb}");
    }
    assert_eq!(kubectl::run(&plane, &groups).await?, group);
    plane.kubectl(&["annotate", "kcg", "--all", "a=b"]).await?.ok()?;

    // An installation takes over what was kept.
    shell.run(&install).await?;
    assert_eq!(installed_version(&plane).await?, THIS);
    assert_eq!(kubectl::run(&plane, &groups).await?, group);
    Ok(())
}

/// Unpacks the charts of an earlier commit, whose default issuer was cert-manager, and copies those of this version.
/// No pods run here, so both get a Service that is an alias of localhost, where a webhook listens at the port.
fn earlier_and_this(webhook: &Port) -> Outcome<TempDir> {
    let script = r#"
        mkdir earlier this && tar -xzf "$1" -C earlier && cp -r "$2"/. this
        alias() {
            sed -i '/^kind: Service$/,$ { /^spec:/,$d }' "$1"
            printf 'spec:\n  type: ExternalName\n  externalName: localhost\n' >> "$1"
        }
        operator=kconsumer-group-operator
        alias earlier/$operator/files/webhook.yaml
        alias this/$operator/templates/webhook-service.yaml
        for file in earlier/$operator/files/registrations-cluster.yaml this/$operator/templates/_helpers.tpl; do
            sed "s/port: 443$/port: $3/" "$file" > changed; ! cmp -s changed "$file"; mv changed "$file"
        done"#;
    let folder = tempfile::tempdir()?;
    let mut shell = Command::new("sh");
    shell.args(["-euc", script, "sh"]).arg(repository("tests/fixtures/charts/earlier-charts.tgz"));
    shell.arg(deploy("charts")).arg(webhook.number().to_string()).current_dir(folder.path());
    let output = shell.output()?;
    if output.status.success() { Ok(folder) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

/// A release of the operator's chart, and who has issued its certificate.
struct Release {
    plane: ControlPlane,
    shell: Shell,
    webhook: Port,
    certificate: WebhookCertificate,
    client: kube::Client,
    _folder: TempDir,
}

impl Release {
    /// Installs the earlier charts.
    async fn of_the_earlier_charts(values: &str) -> Outcome<Self> {
        let plane = api_server(foreign_crds()).await?;
        plane.start_cert_manager().await?;
        plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
        let client = plane.client().await?;
        let webhook = Port::take()?;
        let folder = earlier_and_this(&webhook)?;
        let shell = Shell::open_in(folder.path(), &plane, "".as_ref()).await?;
        let certificate = WebhookCertificate::new(&client);
        let release = Self { plane, shell, webhook, certificate, client, _folder: folder };
        release.install("earlier", values).await?.ok()?;
        Ok(release)
    }

    /// Installs the charts of a folder, or upgrades to them.
    async fn install(&self, version: &str, values: &str) -> Outcome<KubectlOutput> {
        let [resource, operator] = [RESOURCE, OPERATOR].map(|chart| chart.replace("charts", version));
        let commands = format!(
            "helm upgrade --install kconsumer-group-operator-crds {resource}
            helm upgrade --install kconsumer-group-operator {operator} \
              --namespace kconsumer-group-operator --create-namespace --reset-then-reuse-values {values}"
        );
        self.shell.try_run(&commands).await
    }

    /// Issues a certificate as the earlier controller, with the CA's key in the one Secret that it had.
    async fn issue_as_the_earlier_controller(&self) -> Outcome {
        let day = Duration::from_hours(24);
        let ca = Ca::create(names::OPERATOR, &[], SystemTime::now(), day * 365)?;
        let leaf = ca.issue(&[names::webhook_host(names::NAMESPACE)], SystemTime::now(), day * 90)?;
        let entries = [
            ("ca.crt", ca.certificate_pem().to_owned()),
            ("ca.key", ca.key_pem()),
            ("tls.crt", leaf.chain),
            ("tls.key", leaf.key),
        ];
        for (name, pem) in entries {
            self.certificate.set_entry(name, Some(pem.into_bytes())).await?;
        }
        Ok(self.certificate.set_ca_bundles(ca.certificate_pem()).await?)
    }

    /// Starts a controller of this version, and waits until the keys of its CAs are in a Secret of their
    /// own. The certificate is the issued one, and its CA is trusted.
    async fn continue_from(&self, (issued, _): &Trust) -> Outcome<Process> {
        let controller = self.start("controller", &["--certificate-mode=self-managed".into()]).await?;
        eventually("the CA has a Secret of its own", Duration::from_mins(1), async || {
            controller.must_run()?;
            let ca = self.certificate.ca_secret().await?.data.unwrap_or_default();
            let serving = self.certificate.secret().await?.data.unwrap_or_default();
            // After a rollback Helm has deleted the Secret: a new CA is the next one.
            let has_key = |name: &&str| ca.contains_key(*name);
            let is_moved = ["ca.key", "ca-next.key"].iter().any(has_key) && !serving.contains_key("ca.key");
            Ok(met(is_moved, || format!("{:?} and {:?}", ca.keys(), serving.keys())))
        })
        .await?;
        let (entries, bundles) = trust(&self.certificate).await?;
        for entry in ["tls.crt", "tls.key"] {
            assert_eq!(entries.get(entry), issued.get(entry), "{entry} is kept");
        }
        let ca = std::str::from_utf8(&issued.get("ca.crt").ok_or("no ca.crt")?.0)?.trim();
        for bundle in bundles {
            assert!(std::str::from_utf8(&bundle)?.contains(ca), "the CA stays trusted");
        }
        Ok(controller)
    }

    /// Waits until the certificate is issued and trusted.
    async fn issued(&self) -> Outcome<Trust> {
        let issued = eventually("a certificate that is trusted", Duration::from_mins(1), async || {
            Ok(match trust(&self.certificate).await {
                Ok(trust) if !trust.0.contains_key("tls.crt") => Err("no certificate".to_owned()),
                Ok(trust) if trust.1.iter().any(Vec::is_empty) => Err("no caBundle".to_owned()),
                Ok(trust) => Ok(trust),
                Err(error) => Err(error.to_string()),
            })
        });
        Ok(issued.await?)
    }

    /// Starts a process of the operator.
    async fn start(&self, process: &str, flags: &[String]) -> Outcome<Process> {
        let account = format!("{}-{process}", names::OPERATOR);
        let kubeconfig = self.plane.kubeconfig_for(names::NAMESPACE, &account).await?;
        let (metrics, probes) = (Port::take()?, Port::take()?);
        let own = [
            process.to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--metrics-bind-address={}", metrics.address()),
            format!("--health-probe-bind-address={}", probes.address()),
        ];
        let flags = own.iter().chain(flags);
        Ok(Process::start(process, operator_binary().await?, flags, self.plane.folder())?)
    }

    /// Starts a webhook with the certificate, and waits until the API server calls it.
    async fn start_webhook(&self, (entries, _): &Trust) -> Outcome<(Process, TempDir)> {
        let folder = tempfile::tempdir()?;
        for (name, content) in entries {
            std::fs::write(folder.path().join(name), &content.0)?;
        }
        let flags = [
            format!("--webhook-bind-address={}", self.webhook.address()),
            format!("--cert-dir={}", folder.path().display()),
            format!("--server-name={}", names::webhook_host(names::NAMESPACE)),
        ];
        let webhook = self.start("webhook", &flags).await?;
        let sample = deploy("samples/bad-min-above-partitions.yaml").display().to_string();
        let create = ["create", "--dry-run=server", "-f", &sample];
        eventually("the webhook knows the topic", Duration::from_secs(30), async || {
            webhook.must_run()?;
            let answer = self.plane.kubectl(&create).await?;
            Ok(met(answer.stderr.contains("topic fast-data-topic has 3 partitions"), || answer.stderr))
        })
        .await?;
        Ok((webhook, folder))
    }
}

/// An upgrade from a release of the earlier charts and a rollback, while groups are written.
async fn upgrade_and_rollback(mode: &str) -> Outcome {
    let _turn = LOAD.lock().await;
    let set = format!("--set certificates.mode={mode}");
    // It was the default.
    let is_default = mode == "cert-manager";
    let release = Release::of_the_earlier_charts(if is_default { "" } else { &set }).await?;
    let is_self_managed = mode == "self-managed";
    if is_self_managed {
        release.issue_as_the_earlier_controller().await?;
    }
    let issued = release.issued().await?;
    let (_webhook, _certificate) = release.start_webhook(&issued).await?;
    let reviews = Load::of_reviews(&release.client);
    let handshakes = Load::of_handshakes(&release.certificate, release.webhook.address());

    if is_default {
        let refused = release.install("this", "").await?;
        assert_ne!(refused.code, 0);
        for text in ["certificates.mode=self-managed, but", "Set certificates.mode=cert-manager to keep it"] {
            assert!(refused.stderr.contains(text), "{}", refused.stderr);
        }
    }
    release.install("this", if is_default { &set } else { "" }).await?.ok()?;
    let flags = ["get", "deployment", "-n=kconsumer-group-operator", "-o=jsonpath={.items[*]..args}"];
    assert!(kubectl::run(&release.plane, &flags).await?.contains("--health-probe-bind-address"));
    let upgraded = trust(&release.certificate).await?;
    assert_eq!(trusted(&upgraded), trusted(&issued), "{mode}: the upgrade keeps what is trusted");

    let controller = if is_self_managed { Some(release.continue_from(&issued).await?) } else { None };
    // It ends with its release.
    drop(controller);
    let before = trust(&release.certificate).await?;

    let rollback = "helm rollback kconsumer-group-operator --namespace kconsumer-group-operator";
    release.shell.run(rollback).await?;
    assert!(kubectl::run(&release.plane, &flags).await?.contains("--status-addr"));
    let now = trust(&release.certificate).await?;
    assert_eq!(trusted(&now), trusted(&before), "{mode}: the rollback keeps it");
    release.install("this", &set).await?.ok()?;
    let now = trust(&release.certificate).await?;
    assert_eq!(trusted(&now), trusted(&before), "{mode}: another upgrade keeps it");
    let controller = if is_self_managed { Some(release.continue_from(&issued).await?) } else { None };
    assert_no_failures(&format!("helm, {mode}"), &reviews.stop().await?, &handshakes.stop().await?);
    if let Some(controller) = controller {
        controller.must_run()?;
        let refused = release.install("this", "--set certificates.mode=cert-manager").await?;
        assert_ne!(refused.code, 0);
        for text in ["certificates.mode=cert-manager, but", "Set certificates.mode=self-managed to keep it"] {
            assert!(refused.stderr.contains(text), "{}", refused.stderr);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_from_the_earlier_default_issuer_and_back_refuses_no_group() -> Outcome {
    upgrade_and_rollback("cert-manager").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_from_an_earlier_self_managed_release_and_back_refuses_no_group() -> Outcome {
    upgrade_and_rollback("self-managed").await
}
