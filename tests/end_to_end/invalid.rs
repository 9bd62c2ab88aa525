//! A stored group that violates a rule: it alone is not reconciled, and its status has the
//! webhook's message.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, condition, group};
use serde_json::{Map, Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_group_that_bypassed_the_webhook_is_not_reconciled_and_reports_why,
    a_group_that_becomes_invalid_keeps_its_children,
    a_stored_spec_above_the_bound_of_values_is_invalid_and_keeps_its_children,
    a_stored_spec_above_the_bound_of_bytes_is_reconciled_and_warned,
    a_minimum_above_the_ceiling_runs_the_ceiling,
    a_stored_group_that_breaks_a_rule_for_admission_is_reconciled_and_warned,
];

/// The webhook configurations exclude this namespace; the controller watches it.
const UNGUARDED: &str = "kube-system";

fn mighty() -> Value {
    json!({"consumerSpec": {"podTemplate": {"spec": {"hostNetwork": true, "hostPID": true}}}})
}

const SENTENCES: [&str; 2] = [
    "spec.consumerSpec.podTemplate.spec.hostNetwork: Forbidden",
    "spec.consumerSpec.podTemplate.spec.hostPID: Forbidden",
];

/// The lines of the webhook's refusal of such a group.
async fn refusal(env: &Arc<SharedEnv>, spec: &Value) -> Result<String> {
    let ns = env.namespace("invalid").await?;
    let answer = ns.kubectl_create(&group("kconsumer", spec)).await?;
    assert_eq!(answer.code, 1);
    Ok(answer.stderr)
}

async fn a_group_that_bypassed_the_webhook_is_not_reconciled_and_reports_why(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let refused = refusal(&env, &mighty()).await?;
    let ns = env.existing_namespace(UNGUARDED);
    ns.create_topic("slipped-topic", 3).await?;
    let audit = ns.audit()?;
    let mut spec = mighty();
    spec["consumerSpec"]["topic"] = json!("slipped-topic");
    ns.create_group("slipped-in", &spec).await?;
    ns.create_group("next-to-it", &json!({"consumerSpec": {"topic": "slipped-topic"}})).await?;
    let group = ns.group_is("slipped-in", "False", "InvalidSpec").await?;
    let message = condition(&group, "Ready")[2];
    for sentence in SENTENCES {
        assert!(
            refused.contains(sentence) && message.contains(sentence),
            "{sentence} in\n{refused}\nand in\n{message}"
        );
    }
    // The condition contains each violation of the refusal word for word.
    for bullet in refused.lines().filter_map(|line| line.strip_prefix("* ")) {
        assert!(message.contains(bullet), "{bullet} in {message}");
    }
    assert!(
        group["status"]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("Message: Error reconciling"))
    );
    assert_eq!(group["status"]["activePods"], json!([]));
    ns.group_is_ready("next-to-it").await?;
    for kind in CHILDREN {
        assert_eq!(audit.of_child(kind, "slipped-in")?.len(), 0);
    }

    ns.patch(GROUP, "slipped-in", &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    ns.group_is_ready("slipped-in").await?;
    for name in ["slipped-in", "next-to-it"] {
        ns.delete(GROUP, name).await?;
    }
    Ok(())
}

async fn a_group_that_becomes_invalid_keeps_its_children(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(UNGUARDED);
    ns.create_topic("later-topic", 3).await?;
    ns.create_group("later", &json!({"consumerSpec": {"topic": "later-topic"}})).await?;
    ns.group_is_ready("later").await?;
    let audit = ns.audit()?;
    let mut spec = mighty();
    spec["minReplicas"] = json!(2);
    ns.patch(GROUP, "later", &json!({"spec": spec})).await?;
    let group = ns.group_is("later", "False", "InvalidSpec").await?;
    assert_eq!(group["status"]["replicas"], 1, "running pods are still counted");
    // Even manual changes of the children stay, because there is no desired state.
    ns.patch(DEPLOYMENT, "later", &json!({"metadata": {"labels": {"app": "other"}}})).await?;
    ns.patch(GROUP, "later", &json!({"spec": {"averageRecordsLagLimit": 5}})).await?;
    ns.group_is("later", "False", "InvalidSpec").await?;
    for kind in CHILDREN {
        assert_eq!(audit.of_child(kind, "later")?.len(), 0);
    }
    ns.patch(GROUP, "later", &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    ns.group_is_ready("later").await?;
    assert_eq!(ns.get(DEPLOYMENT, "later").await?["metadata"]["labels"]["app"], "later");
    ns.delete(GROUP, "later").await
}

async fn a_stored_spec_above_the_bound_of_values_is_invalid_and_keeps_its_children(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.existing_namespace(UNGUARDED);
    ns.create_topic("huge-topic", 3).await?;
    ns.create_group("huge", &json!({"consumerSpec": {"topic": "huge-topic"}})).await?;
    ns.group_is_ready("huge").await?;
    let audit = ns.audit()?;
    let many: Map<String, Value> = (0..=5000).map(|n| (format!("a{n}"), json!("b"))).collect();
    let template = json!({"podTemplate": {"metadata": {"annotations": many}}, "image": "example.com/new:1"});
    ns.patch(GROUP, "huge", &json!({"spec": {"consumerSpec": template}})).await?;
    let group = ns.group_is("huge", "False", "InvalidSpec").await?;
    let [_, _, message] = condition(&group, "Ready");
    assert!(message.contains("5000") && message.len() <= 1024, "{message}");
    assert_eq!(group["status"]["replicas"], 1, "running pods are still counted");
    for kind in CHILDREN {
        assert_eq!(audit.of_child(kind, "huge")?.len(), 0);
        ns.exists(kind, "huge").await?;
    }
    ns.patch(GROUP, "huge", &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    ns.group_is_ready("huge").await?;
    let image = &ns.get(DEPLOYMENT, "huge").await?["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "example.com/new:1");
    ns.delete(GROUP, "huge").await
}

async fn a_stored_spec_above_the_bound_of_bytes_is_reconciled_and_warned(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(UNGUARDED);
    ns.create_topic("large-topic", 3).await?;
    let spec = json!({"consumerSpec": {"topic": "large-topic",
        "podTemplate": {"metadata": {"annotations": {"a": "b".repeat(64 << 10)}}}}});
    let refused = refusal(&env, &spec).await?;
    assert!(refused.contains("spec: Too long: must have at most 65536 bytes as compact JSON"), "{refused}");
    ns.create_group("large", &spec).await?;
    ns.group_is_ready("large").await?;
    let group = ns.get(GROUP, "large").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("A new group with this spec is refused: spec: Too long"), "{message}");
    assert_eq!(
        ns.get(DEPLOYMENT, "large").await?["spec"]["template"]["metadata"]["annotations"]["a"],
        "b".repeat(64 << 10)
    );
    ns.delete(GROUP, "large").await
}

async fn a_minimum_above_the_ceiling_runs_the_ceiling(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("min-above").await?;
    // Allowed while the topic is unknown.
    ns.create_group("kconsumer", &json!({"minReplicas": 4})).await?;
    ns.bounds_are("kconsumer", 4, 4).await?;
    ns.create_topic("fast-data-topic", 3).await?;
    ns.bounds_are("kconsumer", 3, 3).await?;
    let group = ns.group_is("kconsumer", "True", "MinAboveCeiling").await?;
    assert_eq!(
        condition(&group, "Ready")[2],
        "spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth \
         consumer would be idle; 3 consumers run"
    );
    ns.eventually(DEPLOYMENT, "kconsumer", "three run", |seen| {
        seen["spec"]["replicas"] == 3 && seen["status"]["readyReplicas"] == 3
    })
    .await?;
    ns.patch(GROUP, "kconsumer", &json!({"spec": {"minReplicas": 3}})).await?;
    ns.group_is_ready("kconsumer").await?;
    ns.close().await
}

async fn a_stored_group_that_breaks_a_rule_for_admission_is_reconciled_and_warned(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.existing_namespace(UNGUARDED);
    ns.create_topic("tolerated-topic", 3).await?;
    let spec = json!({"consumerSpec": {"topic": "tolerated-topic",
        "podTemplate": {"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}}});
    let refused = refusal(&env, &spec).await?;
    let violation = "spec.consumerSpec.podTemplate.spec.securityContext.seccompProfile.type: Forbidden: a consumer may only use RuntimeDefault and Localhost";
    assert!(refused.contains(violation), "{refused}");
    ns.create_group("tolerated", &spec).await?;
    ns.group_is_ready("tolerated").await?;
    let group = ns.get(GROUP, "tolerated").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.ends_with(&format!("A new group with this spec is refused: {violation}")), "{message}");
    // It follows its spec.
    ns.patch(GROUP, "tolerated", &json!({"spec": {"consumerSpec": {"image": "thenextapps/kconsumer:2"}}}))
        .await?;
    ns.eventually(DEPLOYMENT, "tolerated", "the new image", |seen| {
        seen["spec"]["template"]["spec"]["containers"][0]["image"] == "thenextapps/kconsumer:2"
    })
    .await?;
    ns.delete(GROUP, "tolerated").await
}
