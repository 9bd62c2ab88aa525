//! A deleted child is created again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kcg_tests::audit;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, POD, SERVICE, assert_contains, is_observed};
use kube::api::DeleteParams;
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    inherited_metadata_reaches_every_child_and_leaves_with_the_spec,
    a_service_keeps_its_address,
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

/// A policy that demands a label of every object lets the children of a group pass.
async fn inherited_metadata_reaches_every_child_and_leaves_with_the_spec(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("inherited-metadata").await?;
    let inherited = |metadata: &serde_json::Value| json!({"inheritedMetadata": metadata, "metrics": {"preset": "Spring"}});
    let metadata = json!({"labels": {"cost-center": "4711"}, "annotations": {"example.com/owner": "data"}});
    ns.create_group("kconsumer", &inherited(&metadata)).await?;
    ns.group_is_ready("kconsumer").await?;
    for kind in CHILDREN {
        assert_contains(&ns.get(kind, "kconsumer").await?["metadata"], &metadata);
    }
    let template = ns.get(DEPLOYMENT, "kconsumer").await?["spec"]["template"].clone();
    let removed = json!({"inheritedMetadata": {"labels": {"cost-center": null}, "annotations": null}});
    ns.patch(GROUP, "kconsumer", &json!({"spec": removed})).await?;
    for kind in CHILDREN {
        ns.eventually(kind, "kconsumer", "it has no inherited metadata", |child| {
            let metadata = &child["metadata"];
            metadata["labels"].get("cost-center").is_none()
                && metadata["annotations"].get("example.com/owner").is_none()
        })
        .await?;
    }
    assert_eq!(ns.get(DEPLOYMENT, "kconsumer").await?["spec"]["template"], template, "nothing rolls out");
    ns.close().await
}

/// The Service of an operator of before has an address, which cannot be removed.
async fn a_service_keeps_its_address(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("service-address").await?;
    let headless = ns.get(SERVICE, "kconsumer").await?;
    assert_eq!(headless["spec"]["clusterIP"], "None");
    let mut old = headless.clone();
    for server_s_own in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        old["metadata"].as_object_mut().map(|metadata| metadata.remove(server_s_own));
    }
    for address in ["clusterIP", "clusterIPs"] {
        old["spec"].as_object_mut().map(|spec| spec.remove(address));
    }
    ns.patch(GROUP, "kconsumer", &json!({"spec": {"paused": true}})).await?;
    ns.eventually(GROUP, "kconsumer", "it is paused", is_observed).await?;
    ns.delete(SERVICE, "kconsumer").await?;
    ns.create_object(SERVICE, &old).await?;
    let address = ns.get(SERVICE, "kconsumer").await?["spec"]["clusterIP"].clone();
    let audit = ns.audit()?;
    ns.patch(
        GROUP,
        "kconsumer",
        &json!({"spec": {"paused": false, "inheritedMetadata": {"labels": {"a": "b"}}}}),
    )
    .await?;
    let after = ns
        .eventually(SERVICE, "kconsumer", "it has the new label", |service| {
            service["metadata"]["labels"]["a"] == "b"
        })
        .await?;
    assert_eq!(after["spec"]["clusterIP"], address);
    ns.group_is_ready("kconsumer").await?;
    assert!(audit.of_child(SERVICE, "kconsumer")?.len() <= 2, "nothing loops over it");
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
