//! The charts, installed, upgraded and uninstalled on a real API server. Pods do not run there; one
//! controller runs with the chart's ServiceAccount.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use kcg_api::names;
use kcg_devcluster::{ControlPlane, Port, Process};
use kcg_tests::certificate::WebhookCertificate;
use kcg_tests::env::foreign_crds;
use kcg_tests::{Outcome, deploy_copy, eventually, kubectl, operator_binary};
use serde_json::json;

use crate::documented::{OLDER, Shell, THIS, block, installed_version, make_this_version, older_version};
use crate::removal::left_of_the_operator;

const DOCS: &str = "docs/operations.md";

/// The entries of the Secret, and the CA bundles of both webhook configurations.
async fn trust(
    certificate: &WebhookCertificate,
) -> anyhow::Result<(BTreeMap<String, ByteString>, Vec<Vec<u8>>)> {
    Ok((certificate.secret().await?.data.unwrap_or_default(), certificate.ca_bundles().await?))
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

/// An older chart whose default issuer was cert-manager, and the chart of this version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_to_another_issuer_is_refused_with_the_value_that_keeps_the_issuer() -> Outcome {
    let plane = ControlPlane::builder().scheduler(false).crds(foreign_crds()).start().await?;
    plane.start_cert_manager().await?;
    let certificate = WebhookCertificate::new(&plane.client().await?);
    let older = deploy_copy(
        "sed -i 's/mode: self-managed/mode: cert-manager/' deploy/charts/kconsumer-group-operator/values.yaml",
    );
    let older = older.await?;
    let shell = Shell::open_in(older.path(), &plane, "".as_ref()).await?;
    let release = "helm upgrade --install kconsumer-group-operator deploy/charts/kconsumer-group-operator \
        --namespace kconsumer-group-operator --create-namespace --reset-then-reuse-values";
    shell.run(release).await?;
    let issued = eventually("cert-manager has issued", Duration::from_mins(1), async || {
        Ok(match trust(&certificate).await {
            Ok(trust) if trust.1.iter().all(|bundle| !bundle.is_empty()) => Ok(trust),
            Ok(_) => Err("no caBundle".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    })
    .await?;

    make_this_version(older.path()).await?;
    let refused = shell.try_run(release).await?;
    assert_ne!(refused.code, 0);
    for text in ["certificates.mode=self-managed, but", "Set certificates.mode=cert-manager to keep it"] {
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    shell.run(&format!("{release} --set certificates.mode=cert-manager")).await?;
    assert_eq!(
        trust(&certificate).await?,
        issued,
        "neither the refused nor the kept mode changes what is trusted"
    );

    // And from this version's default to cert-manager.
    let uninstall = "helm uninstall kconsumer-group-operator --namespace kconsumer-group-operator";
    shell
        .run(&format!("{uninstall}; kubectl --namespace kconsumer-group-operator delete secret --all"))
        .await?;
    shell.run(release).await?;
    let refused = shell.try_run(&format!("{release} --set certificates.mode=cert-manager")).await?;
    assert_ne!(refused.code, 0);
    for text in ["certificates.mode=cert-manager, but", "Set certificates.mode=self-managed to keep it"] {
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    Ok(())
}
