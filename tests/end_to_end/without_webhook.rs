//! Without the webhook the CRD's rules still apply, changes that do not touch a spec still work,
//! and everything can be deleted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CRD, GROUP, NAMESPACE, SERVICE, condition, group};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::cases::{cases, caught};
use crate::env::SharedEnv;

cases![
    the_rules_of_the_crd_apply_and_nothing_is_blocked_without_the_webhook,
    a_spec_that_does_not_parse_affects_only_its_group
];

const NAME: &str = "kconsumer";

async fn the_rules_of_the_crd_apply_and_nothing_is_blocked_without_the_webhook(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace("webhook-away").await?;
    let doomed = env.namespace("webhook-away-doomed").await?;
    for ns in [&ns, &doomed] {
        ns.create_topic("fast-data-topic", 3).await?;
        ns.create_group(NAME, &json!({})).await?;
        ns.group_is_ready(NAME).await?;
    }
    let webhook = env.webhook.lock().await.take().context("the webhook runs")?;
    let status = webhook.process().terminate(Duration::from_secs(30)).await?;
    assert!(status.success(), "{status}");
    let outcome = caught(without_webhook(&env, &ns, &doomed)).await;
    env.start_webhook().await?;
    outcome?;
    ns.create_group("again", &json!({})).await?;
    ns.group_is_ready("again").await?;
    ns.close().await
}

async fn without_webhook(env: &SharedEnv, ns: &Namespace, doomed: &Namespace) -> Result<()> {
    let create = async |spec: &Value| ns.kubectl_create(&group("new", spec)).await;
    // A static rule: the CRD refuses with the same message.
    let answer = create(&json!({"minReplicas": 4, "maxReplicas": 2})).await?;
    assert_eq!(
        answer.stderr,
        "The KconsumerGroup \"new\" is invalid: spec.minReplicas: Invalid value: must not be more than spec.maxReplicas, \
         which is 2\n"
    );
    // A request that needs the webhook fails.
    let answer = create(&json!({})).await?;
    assert!(
        answer.code == 1
            && answer.stderr.contains("failed calling webhook \"validate.kconsumergroups.thenextapps.com\""),
        "{}",
        answer.stderr
    );

    let patch = async |patch: &str| -> Result<String> {
        Ok(ns.kubectl(&["patch", "kcg", NAME, "--type=merge", "-p", patch]).await?.ok()?)
    };
    patch(r#"{"metadata":{"labels":{"a":"b"},"finalizers":["example.com/hold"]}}"#).await?;
    patch(r#"{"metadata":{"finalizers":null}}"#).await?;
    // The controller continues, and writes statuses.
    ns.drift_is_repaired(NAME).await?;
    ns.patch(kcg_tests::objects::TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 4}})).await?;
    ns.eventually(GROUP, NAME, "its status to report 4 partitions", |group| {
        group["status"]["partitions"] == 4
    })
    .await?;

    ns.kubectl(&["delete", "kcg", NAME, "--timeout=30s"]).await?.ok()?;
    env.kubectl(&["delete", "namespace", &doomed.name, "--timeout=60s"]).await?;
    let namespaces: Api<DynamicObject> = Api::all_with(env.client.clone(), &NAMESPACE.resource());
    assert!(namespaces.get_opt(&doomed.name).await?.is_none());
    Ok(())
}

/// An object that was stored with another schema.
async fn a_spec_that_does_not_parse_affects_only_its_group(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace("kube-system");
    ns.create_topic("unparsable-topic", 3).await?;
    let consumer = json!({"consumerSpec": {"topic": "unparsable-topic"}});
    let crds: Api<DynamicObject> = Api::all_with(env.client.clone(), &CRD.resource());
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let relaxed = json!([
        {"op": "remove", "path": format!("{spec}/x-kubernetes-validations")},
        {"op": "replace", "path": format!("{spec}/properties/minReplicas"), "value": {"x-kubernetes-preserve-unknown-fields": true}},
    ]);
    let patch: json_patch::Patch = serde_json::from_value(relaxed)?;
    crds.patch("kconsumergroups.thenextapps.com", &PatchParams::default(), &Patch::Json::<()>(patch)).await?;
    let mut spec = consumer.clone();
    spec["minReplicas"] = json!("two");
    let outcome = caught(unparsable(&ns, &spec, &consumer)).await;
    env.plane.apply_path(&kcg_tests::deploy("crd")).await?;
    outcome
}

async fn unparsable(ns: &Namespace, spec: &Value, consumer: &Value) -> Result<()> {
    eventually("the schema to allow it", LIMIT, async || {
        Ok(ns.create_group("unparsable", spec).await.map_err(|error| format!("{error:#}")))
    })
    .await?;
    let group = ns.group_is("unparsable", "False", "InvalidSpec").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("spec.minReplicas: Invalid value: \"two\""), "{message}");
    ns.create_group("parsable", consumer).await?;
    ns.group_is_ready("parsable").await?;
    // After a correction it is reconciled.
    ns.patch(GROUP, "unparsable", &json!({"spec": {"minReplicas": 1}})).await?;
    ns.exists(SERVICE, "unparsable").await?;
    for name in ["unparsable", "parsable"] {
        ns.delete(GROUP, name).await?;
    }
    Ok(())
}
