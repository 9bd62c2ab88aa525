//! The autoscaler owns the number of consumers: the operator sets it once in a new Deployment, and
//! never again.

use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use kcg_tests::env::LIMIT;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{DEPLOYMENT, GROUP, is_observed};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![the_number_of_replicas_survives_every_change_of_the_image];

const NAME: &str = "kconsumer";

async fn the_number_of_replicas_survives_every_change_of_the_image(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("replicas").await?;
    ns.create_topic("fast-data-topic", 6).await?;
    let audit = ns.audit()?;
    ns.create_group(NAME, &json!({"minReplicas": 3})).await?;
    ns.eventually(DEPLOYMENT, NAME, "three are ready", |seen| seen["status"]["readyReplicas"] == 3).await?;
    ns.group_is_ready(NAME).await?;
    let scaled = |audit: &kcg_tests::audit::NamespaceAudit| -> Result<usize> {
        Ok(audit.children()?.iter().filter(|written| *written == "deployments/scale").count())
    };
    assert_eq!(scaled(&audit)?, 0, "it was created with three");

    // A third party, or the autoscaler, sets five.
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=5"]).await?.ok()?;
    ns.eventually(DEPLOYMENT, NAME, "five are ready", |seen| seen["status"]["readyReplicas"] == 5).await?;
    let counts = tokio::spawn(counts_until(ns.clone(), "example.com/consumer:3"));
    for tag in 1..=3 {
        let image = format!("example.com/consumer:{tag}");
        ns.patch(GROUP, NAME, &json!({"spec": {"consumerSpec": {"image": image}}})).await?;
        ns.eventually(GROUP, NAME, "it is settled", is_observed).await?;
    }
    let counts = counts.await??;
    assert!(counts.iter().all(|count| *count == 5), "the count never moved: {counts:?}");
    assert_eq!(scaled(&audit)?, 0);
    assert!(!owns_the_count(&ns.get(DEPLOYMENT, NAME).await?), "the operator does not own spec.replicas");
    ns.close().await
}

/// All values of the Deployment's spec.replicas until its rollout to `image` is complete.
async fn counts_until(ns: Namespace, image: &'static str) -> Result<Vec<i64>> {
    let mut events = pin!(watcher::watch_object(ns.api(DEPLOYMENT), NAME));
    let mut counts = Vec::new();
    let watching = async {
        while let Some(event) = events.next().await {
            let seen = serde_json::to_value(event?.context("the Deployment is gone")?)?;
            counts.push(seen["spec"]["replicas"].as_i64().context("a count")?);
            let through = seen["spec"]["template"]["spec"]["containers"][0]["image"] == image
                && seen["status"]["observedGeneration"] == seen["metadata"]["generation"]
                && seen["status"]["updatedReplicas"] == 5
                && seen["status"]["readyReplicas"] == 5
                && seen["status"]["replicas"] == 5;
            if through {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    };
    tokio::time::timeout(LIMIT, watching).await.context("the rollout takes too long")??;
    ensure!(counts.len() > 3, "the rollouts were seen");
    Ok(counts)
}

/// Whether the operator owns spec.replicas of the Deployment.
fn owns_the_count(deployment: &Value) -> bool {
    let entries = deployment["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["manager"] == "kconsumer-group-operator" && entry["operation"] == "Apply")
        .any(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
}
