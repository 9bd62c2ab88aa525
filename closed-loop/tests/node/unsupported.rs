//! Pods that this node cannot run, or cannot run yet.

use serde_json::json;

use crate::harness::{Harness, Outcome, pod, spec};

const REASON: &str = ".status.containerStatuses[0].state.waiting.reason";
const MESSAGE: &str = "-o=jsonpath={.status.containerStatuses[0].state.waiting.message}";

pub async fn an_unsupported_pod_is_reported_and_can_be_deleted(harness: &Harness) -> Outcome {
    let namespace = "trouble";
    harness.namespace(namespace).await?;
    let mut unknown = spec(0, "/healthz");
    unknown["containers"][0]["image"] = json!("example.com/unknown/image:1");
    let mut two = spec(0, "/healthz");
    let mut second = two["containers"][0].clone();
    second["name"] = json!("second");
    two["containers"] = json!([two["containers"][0], second]);
    let mut unset = spec(0, "/healthz");
    unset["containers"][0]["env"] =
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a"}}}]);
    for (name, spec, reason, message) in [
        ("unknown", unknown, "ErrImagePull", "it has: example.com/tests/program"),
        ("two", two, "NotSupported", "pods with one container"),
        ("unset", unset, "CreateContainerConfigError", "couldn't find key a in configmap none"),
    ] {
        harness.apply(&[pod(namespace, name, &spec)]).await?;
        harness.pod_field(namespace, name, REASON, reason).await?;
        harness.sees(namespace, &["pod", name, MESSAGE], |seen| seen.contains(message)).await?;
        let of_pod = format!("--field-selector=involvedObject.name={name},reason=Failed");
        let messages = "-o=jsonpath={.items[*].message}";
        harness.sees(namespace, &["events", &of_pod, messages], |seen| seen.contains(message)).await?;
        harness.kubectl(&["delete", "-n", namespace, "pod", name, "--wait=false"]).await?;
        harness.gone(namespace, "pod", name).await?;
    }
    Ok(())
}

pub async fn a_pod_waits_for_its_volumes(harness: &Harness) -> Outcome {
    let (namespace, name) = ("waits", "one");
    harness.namespace(namespace).await?;
    let mut wanted = spec(0, "/file/secret/a");
    wanted["volumes"] = json!([{"name": "volume", "secret": {"secretName": "later"}}]);
    wanted["containers"][0]["volumeMounts"] = json!([{"name": "volume", "mountPath": "/secret"}]);
    harness.apply(&[pod(namespace, name, &wanted)]).await?;
    harness
        .sees(namespace, &["pod", name, MESSAGE], |seen| seen.contains("secret \"later\" not found"))
        .await?;
    harness.pod_field(namespace, name, REASON, "ContainerCreating").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "later"},
        "stringData": {"a": "b"},
    });
    harness.apply(&[secret]).await?;
    harness.ready(namespace, name).await
}
