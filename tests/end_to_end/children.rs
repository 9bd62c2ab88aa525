//! A child that somebody deletes comes back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::json;

use crate::cases::cases;
use crate::ledger;
use crate::objects::{CHILDREN, DEPLOYMENT, POD, assert_says};
use crate::place::Place;
use crate::world::World;

cases![
    each_deleted_child_is_made_anew,
    deployment_that_waits_for_its_pods_is_let_go_first,
    wiped_ownership_of_fields_is_taken_up_again_and_loses_nothing,
];

async fn each_deleted_child_is_made_anew(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "deleted-children").await?;
    let page = place.ledger()?;
    for kind in CHILDREN {
        let before = place.get(kind, "kconsumer").await?["metadata"]["uid"].clone();
        place.delete(kind, "kconsumer").await?;
        let anew = place
            .sees(kind, "kconsumer", "it is another one", |child| child["metadata"]["uid"] != before)
            .await?;
        assert_eq!(anew["metadata"]["ownerReferences"][0]["kind"], "KconsumerGroup");
    }
    place.group_is_well("kconsumer").await?;
    for kind in CHILDREN {
        let (deleted, written) =
            (page.by_others(kind, "kconsumer")?, page.awaited(kind, "kconsumer", 1).await?);
        assert_eq!(written.len(), 1, "{} is written once", kind.name);
        let took = ledger::between(&deleted[0], &written[0])?;
        // Not a drifted field but a creation, of which a Service's is the slowest: the API server makes its address.
        assert!(took < Duration::from_secs(5), "{} took {took:?}", kind.name);
    }
    place.close().await
}

async fn deployment_that_waits_for_its_pods_is_let_go_first(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "deleted-in-foreground").await?;
    let before = place.get(DEPLOYMENT, "kconsumer").await?["metadata"]["uid"].clone();
    let pods = place.list(POD).await?;
    // The pod cannot go: somebody's finalizer is on it.
    let pod = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
    let hold = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    place.patch(POD, pod, &hold(&["example.com/hold"])).await?;
    let page = place.ledger()?;
    place.api(DEPLOYMENT).delete("kconsumer", &DeleteParams::foreground()).await?;
    place
        .sees(DEPLOYMENT, "kconsumer", "it is going", |seen| !seen["metadata"]["deletionTimestamp"].is_null())
        .await?;
    place.sees(POD, pod, "it is going", |seen| !seen["metadata"]["deletionTimestamp"].is_null()).await?;
    assert_eq!(page.of_child(DEPLOYMENT, "kconsumer")?.len(), 0);

    place.patch(POD, pod, &hold(&[])).await?;
    place
        .sees(DEPLOYMENT, "kconsumer", "it is another one", |seen| seen["metadata"]["uid"] != before)
        .await?;
    place.group_is_well("kconsumer").await?;
    assert_eq!(page.awaited(DEPLOYMENT, "kconsumer", 1).await?.len(), 1);
    place.close().await
}

/// Somebody's tool writes `managedFields: [{}]`, and with it who owns what.
async fn wiped_ownership_of_fields_is_taken_up_again_and_loses_nothing(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "wiped-fields").await?;
    let page = place.ledger()?;
    for kind in CHILDREN {
        let before = place.get(kind, "kconsumer").await?;
        place.patch(kind, "kconsumer", &json!({"metadata": {"managedFields": [{}]}})).await?;
        let owned = |seen: &serde_json::Value| {
            let managers = seen["metadata"]["managedFields"].as_array().into_iter().flatten();
            managers.into_iter().any(|entry| entry["manager"] == "kconsumer-group-operator")
        };
        let after = place.sees(kind, "kconsumer", "its fields are owned again", owned).await?;
        assert_says(&after["spec"], &before["spec"]);
        assert_eq!(page.awaited(kind, "kconsumer", 1).await?.len(), 1);
    }
    place.close().await
}
