//! A deleted child is created again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kcg_tests::audit;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, POD, assert_contains};
use kube::api::DeleteParams;
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    each_deleted_child_is_created_again,
    a_terminating_deployment_is_created_again_after_its_pods_are_gone,
    removed_ownership_of_fields_is_restored_without_losing_a_field,
];

async fn each_deleted_child_is_created_again(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("deleted-children").await?;
    let audit = ns.audit()?;
    for kind in CHILDREN {
        let before = ns.get(kind, "kconsumer").await?["metadata"]["uid"].clone();
        ns.delete(kind, "kconsumer").await?;
        let recreated = ns
            .eventually(kind, "kconsumer", "it is a new object", |child| child["metadata"]["uid"] != before)
            .await?;
        assert_eq!(recreated["metadata"]["ownerReferences"][0]["kind"], "KconsumerGroup");
    }
    ns.group_is_ready("kconsumer").await?;
    for kind in CHILDREN {
        let (deleted, written) = (
            audit.by_administrator(kind, "kconsumer")?,
            audit.eventually_of_child(kind, "kconsumer", 1).await?,
        );
        assert_eq!(written.len(), 1, "{} is written once", kind.name);
        let took = audit::between(&deleted[0], &written[0])?;
        // A creation takes longer than the repair of a field, most of all for a Service, which gets
        // an address.
        assert!(took < Duration::from_secs(5), "{} took {took:?}", kind.name);
    }
    ns.close().await
}

async fn a_terminating_deployment_is_created_again_after_its_pods_are_gone(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_group("deleted-in-foreground").await?;
    let before = ns.get(DEPLOYMENT, "kconsumer").await?["metadata"]["uid"].clone();
    let pods = ns.list(POD).await?;
    // A finalizer keeps the pod from being deleted.
    let pod = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
    let hold = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    ns.patch(POD, pod, &hold(&["example.com/hold"])).await?;
    let audit = ns.audit()?;
    ns.api(DEPLOYMENT).delete("kconsumer", &DeleteParams::foreground()).await?;
    ns.eventually(DEPLOYMENT, "kconsumer", "it is being deleted", |seen| {
        !seen["metadata"]["deletionTimestamp"].is_null()
    })
    .await?;
    ns.eventually(POD, pod, "it is being deleted", |seen| !seen["metadata"]["deletionTimestamp"].is_null())
        .await?;
    assert_eq!(audit.of_child(DEPLOYMENT, "kconsumer")?.len(), 0);

    ns.patch(POD, pod, &hold(&[])).await?;
    ns.eventually(DEPLOYMENT, "kconsumer", "it is a new object", |seen| seen["metadata"]["uid"] != before)
        .await?;
    ns.group_is_ready("kconsumer").await?;
    assert_eq!(audit.eventually_of_child(DEPLOYMENT, "kconsumer", 1).await?.len(), 1);
    ns.close().await
}

/// A third party writes `managedFields: [{}]`, which removes all ownership of fields.
async fn removed_ownership_of_fields_is_restored_without_losing_a_field(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("wiped-fields").await?;
    let audit = ns.audit()?;
    for kind in CHILDREN {
        let before = ns.get(kind, "kconsumer").await?;
        ns.patch(kind, "kconsumer", &json!({"metadata": {"managedFields": [{}]}})).await?;
        let owned = |seen: &serde_json::Value| {
            let managers = seen["metadata"]["managedFields"].as_array().into_iter().flatten();
            managers.into_iter().any(|entry| entry["manager"] == "kconsumer-group-operator")
        };
        let after = ns.eventually(kind, "kconsumer", "its fields are owned again", owned).await?;
        assert_contains(&after["spec"], &before["spec"]);
        assert_eq!(audit.eventually_of_child(kind, "kconsumer", 1).await?.len(), 1);
    }
    ns.close().await
}
