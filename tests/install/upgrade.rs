//! An upgrade by `kubectl apply -k` over an installation at work.

use std::time::Duration;

use kcg_api::names;
use kcg_devcluster::{Port, wait};
use serde_json::{Value, json};

use crate::documented::{OLDER, Shell, THIS, block, installed_version, make_this_version, older_version};
use kcg_tests::installation::{Outcome, Place};
use kcg_tests::load::{Load, without_failure};

const CHILDREN: &str = "deployments,services,horizontalpodautoscalers,servicemonitors,prometheusrules";
const GROUPS: usize = 5;

/// Each group and child with its uid and resourceVersion.
async fn at_rest(place: &Place) -> Outcome<Vec<String>> {
    let look = async || -> kcg_devcluster::Result<Vec<String>> {
        let mut seen = Vec::new();
        for (kinds, selector) in
            [("kcg", ""), (CHILDREN, "--selector=app.kubernetes.io/managed-by=kconsumer-group-operator")]
        {
            let columns = "-o=custom-columns=:kind,:metadata.name,:metadata.uid,:metadata.resourceVersion";
            let get = ["get", kinds, columns, "--no-headers", "--ignore-not-found", selector];
            let get: Vec<&str> = get.into_iter().filter(|argument| !argument.is_empty()).collect();
            seen.extend(place.plane.kubectl(&get).await?.ok()?.lines().map(str::to_owned));
        }
        Ok(seen)
    };
    let mut before = Vec::new();
    let rest = wait::until("the groups to be at rest", Duration::from_mins(1), async || {
        // Rest is that nothing is written for a while: there is no other sign of it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = look().await?;
        let same = now == before && now.len() == GROUPS * 6;
        before.clone_from(&now);
        Ok(if same { Ok(now) } else { Err(now.join("\n")) })
    });
    Ok(rest.await?)
}

/// Each object of the operator with its resourceVersion.
async fn installed(place: &Place) -> Outcome<Vec<String>> {
    let kinds = "crd,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
        namespaces,deployments,services,serviceaccounts,secrets,roles,rolebindings,poddisruptionbudgets,networkpolicies";
    let columns = "-o=custom-columns=:kind,:metadata.name,:metadata.resourceVersion";
    let ours = "--selector=app.kubernetes.io/name=kconsumer-group-operator";
    let found = place.kubectl(&["get", kinds, columns, "--no-headers", "--all-namespaces", ours]).await?;
    let found: Vec<String> = found.lines().map(str::to_owned).collect();
    assert!(found.len() > 20, "{found:?}");
    Ok(found)
}

async fn secret(place: &Place) -> Outcome<Value> {
    let get = ["get", "secret", names::CERTIFICATE_SECRET, "-n", names::NAMESPACE, "-o=jsonpath={.data}"];
    Ok(serde_json::from_str(&place.kubectl(&get).await?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_fails_no_admission_and_writes_no_group_anew() -> Outcome {
    for overlay in ["cert-manager", "self-managed"] {
        upgraded(overlay).await.map_err(|error| format!("{overlay}: {error}"))?;
    }
    Ok(())
}

async fn upgraded(overlay: &str) -> Outcome {
    let folder = older_version().await?;
    let place = Place::open_from(&folder.path().join("deploy"), overlay).await?;
    // As a person has it from the start: kubectl keeps what it applied.
    let shell = Shell::open_in(folder.path(), &place.plane, place.operator.kustomization()).await?;
    shell.runs("kubectl apply -k deploy/crd").await?;
    assert_eq!(installed_version(&place.plane).await?, OLDER);
    let old_controller = place.operator.start_controller("old", &[]).await?;
    let balancer = place.operator.start_balancer()?;
    let (old_port, new_port) = (Port::take()?, Port::take()?);
    // The shipped pods drain, too: the API server's open connections go on to the old one for a moment.
    let drains = ["--drain-quiet-period=2s"];
    let old_webhook = place.operator.start_webhook_at("old-webhook", &old_port, &drains).await?;
    balancer.route_to(&[&old_port]);
    place.operator.wait_trusted(&place.plane).await?;
    place.reviews().await?;
    for number in 0..GROUPS {
        let group = json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": format!("group-{number}"), "namespace": "default"},
            "spec": {"minReplicas": 1, "consumerSpec": {"image": "consumer:1", "topic": "fast-data-topic"}},
        });
        place.plane.apply_yaml(&group.to_string()).await?;
    }
    let (groups, kept, trusted) = (at_rest(&place).await?, secret(&place).await?, place.bundle().await?);

    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(&place));
    make_this_version(folder.path()).await?;
    let commands = block("docs/operations.md", "## Upgrade", "apply -k")?;
    let said = shell.tries(&commands).await?;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(installed_version(&place.plane).await?, THIS);

    // What the Deployments do then: the new one is ready before the old one ends.
    let new_webhook = place.operator.start_webhook_at("new-webhook", &new_port, &drains).await?;
    balancer.route_to(&[&new_port]);
    let _new_controller = place.operator.start_controller("new", &[]).await?;
    for old in [old_webhook, old_controller] {
        let ended = old.process().terminate(Duration::from_mins(1)).await?;
        assert!(ended.success(), "{ended}");
    }
    let leads = ["get", "lease", names::LEASE, "-n", names::NAMESPACE, "-o=jsonpath={.spec.holderIdentity}"];
    wait::until("the new controller to lead", Duration::from_secs(30), async || {
        let holder = place.plane.kubectl(&leads).await?.ok()?;
        Ok(if holder.starts_with("new_") { Ok(()) } else { Err(holder) })
    })
    .await?;
    assert_eq!(at_rest(&place).await?, groups, "no group and no child was written");
    assert_eq!(secret(&place).await?, kept, "the certificate was issued anew");
    assert_eq!(place.bundle().await?, trusted);

    // Applied once more, it changes nothing.
    let before = installed(&place).await?;
    shell.runs(&commands).await?;
    assert_eq!(installed(&place).await?, before);
    without_failure(&format!("upgrade, {overlay}"), &reviews.end().await?, &handshakes.end().await?);
    new_webhook.process().must_run()?;
    Ok(())
}
