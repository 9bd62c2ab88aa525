//! An upgrade with `kubectl apply -k` while the operator runs and admissions go on.

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::{Crds, Port};
use kcg_tests::env::{TestEnv, api_server};
use kcg_tests::load::{Load, assert_no_failures};
use kcg_tests::objects::group;
use kcg_tests::{Outcome, eventually, kubectl, met};
use serde_json::json;

use crate::LOAD;
use crate::documented::{OLDER, Shell, THIS, block, installed_version, make_this_version, older_version};

const CHILDREN: &str = "deployments,services,horizontalpodautoscalers,servicemonitors,prometheusrules";
const GROUPS: usize = 5;

/// Each group and child with its uid and resourceVersion.
async fn groups_at_rest(env: &TestEnv) -> Outcome<Vec<String>> {
    let list = async || -> anyhow::Result<Vec<String>> {
        let mut seen = Vec::new();
        for (kinds, selector) in
            [("kcg", ""), (CHILDREN, "--selector=app.kubernetes.io/managed-by=kconsumer-group-operator")]
        {
            let columns = "-o=custom-columns=:kind,:metadata.name,:metadata.uid,:metadata.resourceVersion";
            let get = ["get", kinds, columns, "--no-headers", "--ignore-not-found", selector];
            let get: Vec<&str> = get.into_iter().filter(|argument| !argument.is_empty()).collect();
            seen.extend(env.kubectl(&get).await?.lines().map(str::to_owned));
        }
        Ok(seen)
    };
    let mut before = Vec::new();
    let rest = eventually("no group is written", Duration::from_mins(1), async || {
        // The only sign of rest is that nothing is written for a while.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = list().await?;
        let same = now == before && now.len() == GROUPS * 6;
        before.clone_from(&now);
        Ok(if same { Ok(now) } else { Err(now.join("\n")) })
    });
    Ok(rest.await?)
}

/// Each object of the operator with its resourceVersion.
async fn installed(env: &TestEnv) -> Outcome<Vec<String>> {
    let kinds = "crd,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
        namespaces,deployments,services,serviceaccounts,secrets,roles,rolebindings,poddisruptionbudgets,networkpolicies";
    let columns = "-o=custom-columns=:kind,:metadata.name,:metadata.resourceVersion";
    let ours = "--selector=app.kubernetes.io/name=kconsumer-group-operator";
    let found = env.kubectl(&["get", kinds, columns, "--no-headers", "--all-namespaces", ours]).await?;
    let found: Vec<String> = found.lines().map(str::to_owned).collect();
    assert!(found.len() > 20, "{found:?}");
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_fails_no_admission_and_writes_no_group() -> Outcome {
    for overlay in ["cert-manager", "self-managed"] {
        upgrade(overlay).await.map_err(|error| format!("{overlay}: {error}"))?;
    }
    Ok(())
}

async fn upgrade(overlay: &str) -> Outcome {
    let _turn = LOAD.lock().await;
    let folder = older_version().await?;
    let deploy = folder.path().join("deploy");
    let plane = api_server(Crds::all(deploy.join("crd"))).await?;
    let env = TestEnv::install(plane, &deploy.join("overlays/cluster").join(overlay)).await?;
    env.plane.apply_path(&deploy.join("samples/kafkatopic.yaml")).await?;
    // As a user does from the start, so that kubectl records what it applied.
    let shell = Shell::open_in(folder.path(), &env.plane, env.operator.kustomization()).await?;
    shell.run("kubectl apply -k deploy/crd").await?;
    assert_eq!(installed_version(&env.plane).await?, OLDER);
    let old_controller = env.operator.start_controller("old", &[]).await?;
    let balancer = env.operator.start_balancer()?;
    let (old_port, new_port) = (Port::take()?, Port::take()?);
    // As the shipped pods do: the old webhook drains the API server's open connections.
    let drains = ["--drain-quiet-period=2s"];
    let old_webhook = env.operator.start_webhook_at("old-webhook", &old_port, &drains).await?;
    balancer.route_to(&[&old_port]);
    env.operator.wait_trusted(&env.plane).await?;
    env.reviews_work().await?;
    for number in 0..GROUPS {
        kubectl::create(&env.plane, "default", &group(&format!("group-{number}"), &json!({}))).await?;
    }
    let (groups, kept, trusted) = (
        groups_at_rest(&env).await?,
        env.certificate.secret().await?.data,
        env.certificate.ca_bundle().await?,
    );

    let reviews = Load::of_reviews(&env.client);
    let handshakes = Load::of_handshakes(&env.certificate, env.webhook_address());
    make_this_version(folder.path()).await?;
    let commands = block("docs/operations.md", "## Upgrade", "apply -k")?;
    let output = shell.try_run(&commands).await?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(installed_version(&env.plane).await?, THIS);

    // As the Deployments do: the new replica is ready before the old one terminates.
    let new_webhook = env.operator.start_webhook_at("new-webhook", &new_port, &drains).await?;
    balancer.route_to(&[&new_port]);
    let _new_controller = env.operator.start_controller("new", &[]).await?;
    for old in [old_webhook, old_controller] {
        let ended = old.process().terminate(Duration::from_mins(1)).await?;
        assert!(ended.success(), "{ended}");
    }
    let leads = ["get", "lease", names::LEASE, "-n", names::NAMESPACE, "-o=jsonpath={.spec.holderIdentity}"];
    eventually("the new controller leads", Duration::from_secs(30), async || {
        let holder = env.kubectl(&leads).await?;
        Ok(met(holder.starts_with("new_"), || holder))
    })
    .await?;
    assert_eq!(groups_at_rest(&env).await?, groups, "no group and no child was written");
    assert_eq!(env.certificate.secret().await?.data, kept, "the certificate is kept");
    assert_eq!(env.certificate.ca_bundle().await?, trusted);

    // Applied again, it changes nothing.
    let before = installed(&env).await?;
    shell.run(&commands).await?;
    assert_eq!(installed(&env).await?, before);
    assert_no_failures(&format!("upgrade, {overlay}"), &reviews.stop().await?, &handshakes.stop().await?);
    new_webhook.process().must_run()?;
    Ok(())
}
