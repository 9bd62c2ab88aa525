//! What others own in our children is theirs: it stays, and nothing is written because of it.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::cases::cases;
use crate::ledger::Ledger;
use crate::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, MONITOR, POD, RULE, SERVICE, assert_says};
use crate::place::Place;
use crate::world::World;

cases![fields_that_others_own_are_left_alone, scale_and_restart_by_hand_are_left_alone];

/// Changes a field of ours and awaits its repair: what came before it has been dealt with then.
async fn await_a_repair(place: &Place, page: &Ledger) -> Result<()> {
    let spoilt = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]);
    place.edit(SERVICE, "kconsumer", &spoilt).await?;
    let repaired = |seen: &serde_json::Value| seen["spec"]["ports"][0]["targetPort"] == 8085;
    place.sees(SERVICE, "kconsumer", "it is repaired", repaired).await?;
    page.awaited(SERVICE, "kconsumer", 1).await.map(drop)
}

async fn fields_that_others_own_are_left_alone(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "foreign-fields").await?;
    let page = place.ledger()?;
    let noted =
        json!({"metadata": {"annotations": {"example.com/note": "theirs"}, "labels": {"team": "theirs"}}});
    for kind in CHILDREN {
        place.patch(kind, "kconsumer", &noted).await?;
    }
    let additions = [
        (SERVICE, json!({"spec": {"publishNotReadyAddresses": true, "sessionAffinity": "ClientIP"}})),
        (MONITOR, json!({"spec": {"sampleLimit": 1000}})),
        (AUTOSCALER, json!({"spec": {"behavior": {"scaleUp": {"tolerance": "50m"}}}})),
        (
            DEPLOYMENT,
            json!({"spec": {"revisionHistoryLimit": 2, "template": {"metadata": {"annotations": {"a": "b"}}}}}),
        ),
    ];
    for (kind, addition) in &additions {
        place.patch(*kind, "kconsumer", addition).await?;
    }
    let group = json!({"name": "theirs", "rules": [{"alert": "Theirs", "expr": "vector(1)"}]});
    place.edit(RULE, "kconsumer", &json!([{"op": "add", "path": "/spec/groups/-", "value": group}])).await?;
    let sidecar = json!({"name": "sidecar", "image": "example.com/sidecar:1"});
    let variable = json!({"name": "THEIRS", "value": "1"});
    let containers = "/spec/template/spec/containers";
    let additional = json!([
        {"op": "add", "path": format!("{containers}/-"), "value": sidecar},
        {"op": "add", "path": format!("{containers}/0/env/-"), "value": variable},
    ]);
    place.edit(DEPLOYMENT, "kconsumer", &additional).await?;

    await_a_repair(&place, &page).await?;
    assert_eq!(page.children()?, [SERVICE.plural], "only the repair was written");
    for kind in CHILDREN {
        assert_says(&place.get(kind, "kconsumer").await?, &noted);
    }
    for (kind, addition) in &additions {
        assert_says(&place.get(*kind, "kconsumer").await?, addition);
    }
    assert_eq!(place.get(RULE, "kconsumer").await?["spec"]["groups"][1]["name"], "theirs");
    let deployment = place.get(DEPLOYMENT, "kconsumer").await?;
    assert_eq!(deployment.pointer(&format!("{containers}/1/name")), Some(&json!("sidecar")));
    assert_eq!(deployment.pointer(&format!("{containers}/0/env/2")), Some(&variable));
    place.close().await
}

async fn scale_and_restart_by_hand_are_left_alone(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "foreign-scale").await?;
    let page = place.ledger()?;
    place.kubectl(&["scale", "deployment/kconsumer", "--replicas=2"]).await?.ok()?;
    place.sees(DEPLOYMENT, "kconsumer", "two are ready", |seen| seen["status"]["readyReplicas"] == 2).await?;
    place.kubectl(&["rollout", "restart", "deployment/kconsumer"]).await?.ok()?;
    place
        .sees(DEPLOYMENT, "kconsumer", "the restart is through", |seen| {
            let status = &seen["status"];
            status["observedGeneration"] == seen["metadata"]["generation"]
                && status["updatedReplicas"] == 2
                && status["replicas"] == 2
                && status["readyReplicas"] == 2
        })
        .await?;
    await_a_repair(&place, &page).await?;
    assert_eq!(page.children()?, [SERVICE.plural], "only the repair was written");
    assert_eq!(place.get(DEPLOYMENT, "kconsumer").await?["spec"]["replicas"], 2);
    assert!(place.list(POD).await?.len() >= 2);
    place.close().await
}
