//! What the API server refuses for a while, or until there is room, needs no person.

use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::StreamExt;
use kcg_tests::env::LIMIT;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{GROUP, QUOTA, condition};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;
use crate::kstatus::verdict;

cases![
    a_change_whose_first_write_failed_is_not_ready_before_its_pods_run,
    a_webhook_of_pods_that_does_not_answer_delays_the_rollout,
    a_quota_without_room_for_an_owned_resource_is_waited_for,
];

const NAME: &str = "kconsumer";

/// A webhook for one kind of request in the namespace, which nothing answers.
async fn add_webhook(ns: &Namespace, operation: &str, group: &str, resource: &str) -> Result<String> {
    let name = format!("{}.example.com", ns.name);
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": name, "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}},
            "rules": [{"operations": [operation], "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]}],
        }],
    });
    ns.kubectl_with(&["create", "-f", "-"], &webhook.to_string()).await?.ok()?;
    Ok(name)
}

async fn remove_webhook(ns: &Namespace, name: &str) -> Result<()> {
    ns.kubectl(&["delete", "validatingwebhookconfiguration", name]).await?.ok()?;
    Ok(())
}

async fn a_change_whose_first_write_failed_is_not_ready_before_its_pods_run(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("late-write").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let webhook = add_webhook(&ns, "UPDATE", "apps", "deployments").await?;
    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there": "is-none"}}}});
    let spec = json!({"spec": {"consumerSpec": nowhere}});
    kcg_tests::eventually("the webhook takes effect", LIMIT, async || {
        let tried = ns.kubectl(&["annotate", "deployment", NAME, "a=b", "--dry-run=server"]).await;
        Ok(tried.is_ok_and(|tried| tried.code != 0).then_some(()).ok_or("it is not called"))
    })
    .await?;
    let generation = ns.patch(GROUP, NAME, &spec).await?["metadata"]["generation"].clone();
    ns.group_is(NAME, "False", "ApplyFailed").await?;
    let seen = tokio::spawn(readiness_until_it_rolls_out(ns.clone(), generation));
    remove_webhook(&ns, &webhook).await?;
    let seen = seen.await??;
    assert!(seen.iter().all(|ready| ready != "True"), "{seen:?}");
    ns.close().await
}

/// The status of Ready in every version of the group of this generation, until its pods roll out.
async fn readiness_until_it_rolls_out(ns: Namespace, generation: Value) -> Result<Vec<String>> {
    let mut events = pin!(watcher::watch_object(ns.api(GROUP), NAME));
    let mut seen = Vec::new();
    let watching = async {
        while let Some(event) = events.next().await {
            let group = serde_json::to_value(event?.context("the group is gone")?)?;
            if group["status"]["observedGeneration"] != generation {
                continue;
            }
            seen.push(condition(&group, "Ready")[0].to_owned());
            if condition(&group, "Ready")[2].contains("1 of an earlier one are left") {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    };
    tokio::time::timeout(LIMIT, watching).await.context("the rollout takes too long to start")??;
    Ok(seen)
}

async fn a_webhook_of_pods_that_does_not_answer_delays_the_rollout(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("late-pods").await?;
    let webhook = add_webhook(&ns, "CREATE", "", "pods").await?;
    kcg_tests::eventually("the webhook takes effect", LIMIT, async || {
        let tried = ns.kubectl(&["run", "a", "--image=a", "--dry-run=server"]).await;
        Ok(tried.is_ok_and(|tried| tried.code != 0).then_some(()).ok_or("it is not called"))
    })
    .await?;
    ns.create_group(NAME, &json!({})).await?;
    let group = ns.group_is(NAME, "Unknown", "ReplicaFailure").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("0 of 1 pods exist") && message.contains("failed calling webhook"), "{message}");
    assert_eq!(condition(&group, "Progressing")[..2], ["True", "ReplicaFailure"]);
    assert_eq!(verdict(&group).await?, "InProgress");
    remove_webhook(&ns, &webhook).await?;
    assert_eq!(verdict(&ns.group_is_ready(NAME).await?).await?, "Current");
    ns.close().await
}

async fn a_quota_without_room_for_an_owned_resource_is_waited_for(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("object-quota").await?;
    ns.create_quota("objects", &json!({"count/services": "0"})).await?;
    ns.create_group(NAME, &json!({})).await?;
    let group = ns.group_is(NAME, "False", "QuotaExceeded").await?;
    let message = condition(&group, "Ready")[2];
    let want = "a ResourceQuota has no room for Service kconsumer, which is tried again";
    assert!(message.starts_with(want) && message.contains("exceeded quota: objects"), "{message}");
    assert_eq!(verdict(&group).await?, "InProgress");
    ns.patch(QUOTA, "objects", &json!({"spec": {"hard": {"count/services": "1"}}})).await?;
    ns.group_is_ready(NAME).await?;
    ns.close().await
}
