//! A consumer's new image crashes some seconds after its start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kcg_closed_loop::Run;
use kcg_devcluster::wait;
use serde_json::{Value, json};

use crate::harness::{Harness, Outcome};

const NAMESPACE: &str = "crash";
const NAME: &str = "orders";
/// The backoff before a start is up to 40 s here.
const LIMIT: Duration = Duration::from_mins(3);

/// Without a probe, and with the operator's minReadySeconds, 15: a program that ends after 8 s makes
/// its pod ready each time it is started.
pub async fn an_image_that_crashes_takes_no_running_consumer(harness: &Harness) -> Outcome {
    harness.install_operator().await?;
    harness.namespace(NAMESPACE).await?;
    create(harness).await?;
    ready_is(harness, "True", "Reconciled").await?;
    let before = running(harness);
    assert_eq!(before.len(), 2, "{before:?}");

    let crash = [json!({"name": NAME, "command": ["/bin/sh", "-c", "sleep 8; exit 1"]})];
    patch(harness, "kcg", &template(&json!({"spec": {"containers": crash}}))).await?;
    ready_is(harness, "Unknown", "RollingOut").await?;
    // Instead of ten minutes; it is not one of the operator's fields.
    patch(harness, "deployment", &json!({"spec": {"progressDeadlineSeconds": 20}})).await?;
    let stuck = ready_is(harness, "False", "RolloutStuck").await?;
    // For the Deployment controller the next start is progress.
    let started = runs(harness).len();
    let again = wait::until("another start of the crashing program", LIMIT, async || {
        let now = runs(harness).len();
        Ok(if now > started { Ok(()) } else { Err(format!("there are {now}")) })
    });
    again.await?;
    for ready in ["3", "2"] {
        deployment_is(harness, ".status.readyReplicas", ready).await?;
    }
    assert_eq!(ready_is(harness, "False", "RolloutStuck").await?, stuck, "nothing else in between");
    deployment_is(harness, ".status.availableReplicas", "2").await?;

    patch(harness, "kcg", &template(&Value::Null)).await?;
    ready_is(harness, "True", "Reconciled").await?;
    assert_eq!(running(harness), before, "the consumers ran all the time");
    Ok(())
}

async fn create(harness: &Harness) -> Outcome {
    let topic = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"strimzi.io/cluster": "my-cluster"}},
        "spec": {"partitions": 2, "replicas": 1},
    });
    // It waits for a broker for ever.
    let group = json!({
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"minReplicas": 2, "consumerSpec": {"image": "thenextapps/kconsumer:latest", "topic": NAME}},
    });
    harness.apply(&[topic, group]).await
}

/// A change of the group's podTemplate.
fn template(overlay: &Value) -> Value {
    json!({"spec": {"consumerSpec": {"podTemplate": overlay}}})
}

async fn patch(harness: &Harness, kind: &str, patch: &Value) -> Outcome {
    let patch = patch.to_string();
    harness.kubectl(&["patch", "-n", NAMESPACE, kind, NAME, "--type=merge", "-p", &patch]).await.map(drop)
}

/// Waits until Ready of the current generation has this status and reason; returns the time of its
/// last transition.
async fn ready_is(harness: &Harness, status: &str, reason: &str) -> Outcome<String> {
    let what = format!("Ready to be {status} {reason}");
    let ready = wait::until(&what, LIMIT, async || {
        let group = harness.kubectl(&["get", "kcg", "-n", NAMESPACE, NAME, "-o=json"]).await;
        let group: Value = serde_json::from_str(&group.unwrap_or_default()).unwrap_or_default();
        let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        let is_current = ready["observedGeneration"] == group["metadata"]["generation"];
        let is_it = is_current && ready["status"] == status && ready["reason"] == reason;
        Ok(if is_it { Ok(ready["lastTransitionTime"].to_string()) } else { Err(ready.to_string()) })
    });
    Ok(ready.await?)
}

async fn deployment_is(harness: &Harness, field: &str, value: &str) -> Outcome {
    let path = format!("-o=jsonpath={{{field}}}");
    harness.sees(NAMESPACE, &["deployment", NAME, &path], |seen| seen == value).await.map(drop)
}

fn runs(harness: &Harness) -> Vec<Arc<Run>> {
    harness.node.runs_of(NAMESPACE, NAME)
}

/// The pods with a process, and its id.
fn running(harness: &Harness) -> BTreeSet<(String, u32)> {
    runs(harness).iter().filter_map(|run| Some((run.pod.clone(), run.pid()?))).collect()
}
