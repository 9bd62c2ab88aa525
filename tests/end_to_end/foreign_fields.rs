//! Fields of children that others own are kept, and cause no writes.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::audit::NamespaceAudit;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, MONITOR, POD, RULE, SERVICE, assert_contains, is_observed,
};
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    fields_of_other_managers_are_kept,
    a_condition_of_another_manager_is_kept,
    kubectl_scale_and_rollout_restart_are_kept,
];

/// Waits for a repair: by then the operator has handled all earlier changes.
async fn await_a_repair(ns: &Namespace, audit: &NamespaceAudit) -> Result<()> {
    ns.drift_is_repaired("kconsumer").await?;
    audit.eventually_of_child(SERVICE, "kconsumer", 1).await.map(drop)
}

async fn fields_of_other_managers_are_kept(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("foreign-fields").await?;
    let audit = ns.audit()?;
    let noted =
        json!({"metadata": {"annotations": {"example.com/note": "other"}, "labels": {"team": "other"}}});
    for kind in CHILDREN {
        ns.patch(kind, "kconsumer", &noted).await?;
    }
    let additions = [
        (SERVICE, json!({"spec": {"publishNotReadyAddresses": true, "sessionAffinity": "ClientIP"}})),
        (MONITOR, json!({"spec": {"targetLimit": 1000}})),
        (AUTOSCALER, json!({"spec": {"behavior": {"scaleUp": {"tolerance": "50m"}}}})),
        (
            DEPLOYMENT,
            json!({"spec": {"revisionHistoryLimit": 2, "template": {"metadata": {"annotations": {"a": "b"}}}}}),
        ),
    ];
    for (kind, addition) in &additions {
        ns.patch(*kind, "kconsumer", addition).await?;
    }
    let group = json!({"name": "other", "rules": [{"alert": "Other", "expr": "vector(1)"}]});
    ns.json_patch(RULE, "kconsumer", &json!([{"op": "add", "path": "/spec/groups/-", "value": group}]))
        .await?;
    // A service mesh reads it.
    let protocol = json!({"op": "add", "path": "/spec/ports/0/appProtocol", "value": "http"});
    ns.json_patch(SERVICE, "kconsumer", &json!([protocol])).await?;
    let sidecar = json!({"name": "sidecar", "image": "example.com/sidecar:1"});
    let variable = json!({"name": "THEIRS", "value": "1"});
    let containers = "/spec/template/spec/containers";
    let additional = json!([
        {"op": "add", "path": format!("{containers}/-"), "value": sidecar},
        {"op": "add", "path": format!("{containers}/0/env/-"), "value": variable},
    ]);
    ns.json_patch(DEPLOYMENT, "kconsumer", &additional).await?;

    await_a_repair(&ns, &audit).await?;
    // The alerts follow the tolerance of the autoscaler.
    ns.eventually(RULE, "kconsumer", "the other tolerance", |rule| {
        rule["spec"]["groups"][0].to_string().contains("1.05 * ")
    })
    .await?;
    assert_eq!(audit.children()?, [RULE.plural, SERVICE.plural], "the repair, and the alerts");
    for kind in CHILDREN {
        assert_contains(&ns.get(kind, "kconsumer").await?, &noted);
    }
    for (kind, addition) in &additions {
        assert_contains(&ns.get(*kind, "kconsumer").await?, addition);
    }
    assert_eq!(ns.get(RULE, "kconsumer").await?["spec"]["groups"][1]["name"], "other");
    assert_eq!(ns.get(SERVICE, "kconsumer").await?["spec"]["ports"][0]["appProtocol"], "http");
    let deployment = ns.get(DEPLOYMENT, "kconsumer").await?;
    assert_eq!(deployment.pointer(&format!("{containers}/1/name")), Some(&json!("sidecar")));
    assert_eq!(deployment.pointer(&format!("{containers}/0/env/2")), Some(&variable));
    ns.close().await
}

async fn a_condition_of_another_manager_is_kept(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("foreign-condition").await?;
    let audit = ns.audit()?;
    // Kubernetes takes this for a time.
    let backup = json!({
        "type": "example.com/Backup", "status": "True", "reason": "Done", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00+99:59",
    });
    let mut conditions = vec![backup.clone()];
    let group = ns.get(GROUP, "kconsumer").await?;
    conditions.extend(group["status"]["conditions"].as_array().into_iter().flatten().cloned());
    ns.patch_status(GROUP, "kconsumer", &json!({"conditions": conditions})).await?;
    await_a_repair(&ns, &audit).await?;
    assert_eq!(audit.statuses("kconsumer")?.len(), 0, "its own conditions are as they were");

    // The next status has both.
    ns.patch(GROUP, "kconsumer", &json!({"spec": {"averageRecordsLagLimit": 7}})).await?;
    let group = ns.eventually(GROUP, "kconsumer", "it is settled", is_observed).await?;
    let stored = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
    assert!(stored.contains(&backup) && stored.len() == conditions.len(), "{stored:?}");
    ns.close().await
}

async fn kubectl_scale_and_rollout_restart_are_kept(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("foreign-scale").await?;
    let audit = ns.audit()?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=2"]).await?.ok()?;
    ns.eventually(DEPLOYMENT, "kconsumer", "two are ready", |seen| seen["status"]["readyReplicas"] == 2)
        .await?;
    ns.kubectl(&["rollout", "restart", "deployment/kconsumer"]).await?.ok()?;
    ns.eventually(DEPLOYMENT, "kconsumer", "the restart is complete", |seen| {
        let status = &seen["status"];
        status["observedGeneration"] == seen["metadata"]["generation"]
            && status["updatedReplicas"] == 2
            && status["replicas"] == 2
            && status["readyReplicas"] == 2
    })
    .await?;
    await_a_repair(&ns, &audit).await?;
    assert_eq!(audit.children()?, [SERVICE.plural], "only the repair was written");
    assert_eq!(ns.get(DEPLOYMENT, "kconsumer").await?["spec"]["replicas"], 2);
    assert!(ns.list(POD).await?.len() >= 2);
    ns.close().await
}
