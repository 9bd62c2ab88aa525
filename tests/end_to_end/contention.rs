//! Two that compete: groups with one groupId, autoscalers of one Deployment.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, EVENT, GROUP, condition};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    groups_that_share_a_group_id_and_a_topic_are_reported,
    another_autoscaler_of_the_deployment_is_reported,
];

/// Waits for a Warning Event of this group with this reason.
async fn await_warning(ns: &Namespace, group: &str, reason: &str) -> Result<Value> {
    let found = eventually("the Event", LIMIT, async || {
        let events = ns.list(EVENT).await.unwrap_or_default();
        let warning =
            events.into_iter().find(|event| event["regarding"]["name"] == group && event["reason"] == reason);
        Ok(warning.ok_or_else(|| format!("no Event {reason} on {group}")))
    });
    found.await
}

async fn groups_that_share_a_group_id_and_a_topic_are_reported(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("shared-group-id").await?;
    ns.create_topic("other", 3).await?;
    let consumer = |topic: &str, id: &str| json!({"consumerSpec": {"topic": topic, "groupId": id}});
    ns.create_group("one", &consumer("fast-data-topic", "shared")).await?;
    ns.group_is_ready("one").await?;
    // The same id on another topic does not conflict, nor does another id on the same topic.
    ns.create_group("apart", &consumer("other", "shared")).await?;
    ns.create_group("separate", &consumer("fast-data-topic", "own")).await?;
    ns.create_group("two", &consumer("fast-data-topic", "shared")).await?;
    for (name, rival) in [("one", "two"), ("two", "one")] {
        let group = ns.group_is(name, "False", "GroupIdShared").await?;
        let message = condition(&group, "Ready")[2];
        assert!(
            message.starts_with(&format!("group {rival} consumes a topic"))
                && message.contains("groupId shared"),
            "{message}"
        );
        let event = await_warning(&ns, name, "GroupIdShared").await?;
        assert_eq!((&event["type"], &event["note"]), (&json!("Warning"), &json!(message)));
        assert_eq!(event["reportingController"], "kconsumer-group-operator");
    }
    for name in ["apart", "separate"] {
        ns.group_is_ready(name).await?;
    }
    ns.patch(GROUP, "two", &json!({"spec": consumer("fast-data-topic", "another")})).await?;
    for name in ["one", "two"] {
        ns.group_is_ready(name).await?;
    }
    // The condition is set again; the Event is counted, not created again.
    ns.patch(GROUP, "two", &json!({"spec": consumer("fast-data-topic", "shared")})).await?;
    ns.group_is("one", "False", "GroupIdShared").await?;
    ns.delete(GROUP, "two").await?;
    ns.group_is_ready("one").await?;
    ns.close().await
}

async fn another_autoscaler_of_the_deployment_is_reported(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("other-autoscaler").await?;
    env.metrics.set(&ns.name, "kconsumer-", crate::original::LAG, 1);
    ns.create_topic("fast-data-topic", 3).await?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.group_is_ready("kconsumer").await?;
    let other = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-kconsumer"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kconsumer"}, "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
        },
    });
    ns.create_object(AUTOSCALER, &other).await?;
    let group = ns.group_is("kconsumer", "False", "OtherAutoscaler").await?;
    assert_eq!(condition(&group, "MetricsAvailable")[..2], ["False", "OtherAutoscaler"]);
    await_warning(&ns, "kconsumer", "OtherAutoscaler").await?;
    ns.delete(AUTOSCALER, "keda-hpa-kconsumer").await?;
    let group = ns.group_is_ready("kconsumer").await?;
    assert_ne!(condition(&group, "MetricsAvailable")[1], "OtherAutoscaler");
    ns.close().await
}
