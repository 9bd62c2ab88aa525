//! Two who want the same: groups with one groupId, autoscalers on one Deployment.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::objects::{AUTOSCALER, EVENT, GROUP, condition};
use crate::place::Place;
use crate::world::World;

cases![groups_that_share_a_group_id_and_a_topic_are_told, another_autoscaler_on_the_deployment_is_told,];

/// Waits for the Warning that names this reason on this group.
async fn await_warning(place: &Place, group: &str, reason: &str) -> Result<Value> {
    let found = kcg_devcluster::wait::until("the Event", crate::place::LIMIT, async || {
        let events = place.list(EVENT).await.unwrap_or_default();
        let ours =
            events.into_iter().find(|event| event["regarding"]["name"] == group && event["reason"] == reason);
        Ok(ours.ok_or_else(|| format!("no Event {reason} on {group}")))
    });
    Ok(found.await?)
}

async fn groups_that_share_a_group_id_and_a_topic_are_told(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "shared-group-id").await?;
    place.create_topic("fast-data-topic", 3).await?;
    place.create_topic("other", 3).await?;
    let consumer = |topic: &str, id: &str| json!({"consumerSpec": {"topic": topic, "groupId": id}});
    place.create_group("one", &consumer("fast-data-topic", "shared")).await?;
    place.group_is_well("one").await?;
    // The same id on another topic takes nothing from anybody, nor does another id on the same topic.
    place.create_group("apart", &consumer("other", "shared")).await?;
    place.create_group("beside", &consumer("fast-data-topic", "own")).await?;
    place.create_group("two", &consumer("fast-data-topic", "shared")).await?;
    for (name, rival) in [("one", "two"), ("two", "one")] {
        let group = place.group_is(name, "False", "GroupIdShared").await?;
        let message = condition(&group, "Ready")[2];
        assert!(
            message.starts_with(&format!("groups {rival} ")) && message.contains("groupId shared"),
            "{message}"
        );
        let event = await_warning(&place, name, "GroupIdShared").await?;
        assert_eq!((&event["type"], &event["note"]), (&json!("Warning"), &json!(message)));
        assert_eq!(event["reportingController"], "kconsumer-group-operator");
    }
    for name in ["apart", "beside"] {
        place.group_is_well(name).await?;
    }
    place.patch(GROUP, "two", &json!({"spec": consumer("fast-data-topic", "another")})).await?;
    for name in ["one", "two"] {
        place.group_is_well(name).await?;
    }
    // The condition comes and goes; the same Event again is counted, not made anew.
    place.patch(GROUP, "two", &json!({"spec": consumer("fast-data-topic", "shared")})).await?;
    place.group_is("one", "False", "GroupIdShared").await?;
    place.delete(GROUP, "two").await?;
    place.group_is_well("one").await?;
    place.close().await
}

async fn another_autoscaler_on_the_deployment_is_told(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "other-autoscaler").await?;
    world.metrics.set(&place.namespace, "kconsumer-", crate::original::LAG, 1);
    place.create_topic("fast-data-topic", 3).await?;
    place.create_group("kconsumer", &json!({})).await?;
    place.group_is_well("kconsumer").await?;
    let other = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-kconsumer"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kconsumer"}, "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
        },
    });
    place.create(AUTOSCALER, &other).await?;
    let group = place.group_is("kconsumer", "False", "OtherAutoscaler").await?;
    assert_eq!(condition(&group, "MetricsAvailable")[..2], ["False", "OtherAutoscaler"]);
    await_warning(&place, "kconsumer", "OtherAutoscaler").await?;
    place.delete(AUTOSCALER, "keda-hpa-kconsumer").await?;
    let group = place.group_is_well("kconsumer").await?;
    assert_ne!(condition(&group, "MetricsAvailable")[1], "OtherAutoscaler");
    place.close().await
}
