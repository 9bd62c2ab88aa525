//! The charts, installed, upgraded and uninstalled on a real API server. Their pods do not run there: one controller
//! does, under the chart's own ServiceAccount.

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds, Port, Process, deploy_folder, wait};

use crate::documented::{OLDER, Shell, THIS, block, installed_version, make_this_version, older_version};
use crate::removal::left_of_the_operator;
use kcg_tests::installation::Outcome;

const DOCS: &str = "docs/operations.md";

async fn kept(plane: &ControlPlane) -> kcg_devcluster::Result<String> {
    let secret = ["get", "secret", names::CERTIFICATE_SECRET, "-n", names::NAMESPACE, "-o=jsonpath={.data}"];
    let mut kept = vec![plane.kubectl(&secret).await?.ok()?];
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let bundle = ["get", kind, names::NAMESPACE, "-o=jsonpath={.webhooks[0].clientConfig.caBundle}"];
        kept.push(plane.kubectl(&bundle).await?.ok()?);
    }
    Ok(kept.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_installs_upgrades_and_uninstalls_it_and_the_groups_stay() -> Outcome {
    let crds = Crds { own: None, ..Crds::all(deploy_folder()?.join("crd")) };
    let plane = ControlPlane::builder().scheduler(false).crds(crds).start().await?;
    let folder = older_version().await?;
    let shell = Shell::open_in(folder.path(), &plane, "".as_ref()).await?;

    let install = block("README.md", "## Install it on a cluster of your own", "helm ")?;
    shell.runs(&install).await?;
    assert_eq!(installed_version(&plane).await?, OLDER);
    let kubeconfig = plane.kubeconfig_for(names::NAMESPACE, names::CONTROLLER).await?;
    let status = Port::take()?;
    let flags = [
        "controller".to_owned(),
        "--certificates=self-managed".to_owned(),
        "--identity=one".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--status-addr={}", status.address()),
    ];
    let binary = kcg_tests::operator_binary().await?;
    let controller = Process::start("controller", binary, flags, plane.folder())?;
    let certificate = wait::until("a certificate that is trusted", Duration::from_mins(1), async || {
        controller.must_run()?;
        let kept = kept(&plane).await?;
        let there = kept.contains("tls.crt") && kept.lines().all(|line| !line.is_empty());
        Ok(if there { Ok(kept) } else { Err(kept) })
    })
    .await?;
    // No webhook answers here, so the group is written while nobody is asked.
    let unasked = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]"#;
    let validating = ["validatingwebhookconfiguration", names::NAMESPACE];
    plane.kubectl(&[&["patch"], &validating[..], &["--type=json", "-p", unasked]].concat()).await?.ok()?;
    plane.apply_path(&folder.path().join("deploy/samples/short.yaml")).await?;
    let groups = [
        "get",
        "kcg",
        "-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.generation}{end}",
    ];
    let group = plane.kubectl(&groups).await?.ok()?;
    assert!(!group.is_empty());
    let fails = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]"#;
    plane.kubectl(&[&["patch"], &validating[..], &["--type=json", "-p", fails]].concat()).await?.ok()?;

    make_this_version(folder.path()).await?;
    shell.runs(&block(DOCS, "## Helm", "helm upgrade")?).await?;
    assert_eq!(installed_version(&plane).await?, THIS);
    assert_eq!(kept(&plane).await?, certificate, "the upgrade keeps the certificate and the trust in it");
    assert_eq!(plane.kubectl(&groups).await?.ok()?, group);

    drop(controller);
    shell.runs(&block(DOCS, "## Helm", "helm uninstall")?).await?;
    assert_eq!(
        left_of_the_operator(&plane).await?,
        ["customresourcedefinition.apiextensions.k8s.io/kconsumergroups.thenextapps.com"]
    );
    assert_eq!(plane.kubectl(&groups).await?.ok()?, group);
    plane.kubectl(&["annotate", "kcg", "--all", "a=b"]).await?.ok()?;

    // What was kept is taken up again.
    shell.runs(&install).await?;
    assert_eq!(installed_version(&plane).await?, THIS);
    assert_eq!(plane.kubectl(&groups).await?.ok()?, group);
    Ok(())
}
