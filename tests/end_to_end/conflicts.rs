//! An object with a child's name that is not owned by the group is not modified; the other children are reconciled.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, CONFIG_MAP, DEPLOYMENT, GROUP, Kind, MONITOR, RULE, SERVICE, condition,
};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    an_object_without_an_owner_is_not_modified_until_it_is_deleted,
    an_object_of_another_controller_is_not_modified_until_it_is_deleted,
    a_child_whose_owner_reference_was_removed_is_not_adopted_again,
    orphaned_children_are_not_adopted_by_a_new_group,
    an_immutable_selector_of_an_older_deployment_is_reported_with_a_cure,
    a_recreated_group_waits_until_the_old_children_are_gone,
];

/// An object of each kind that a third party created.
fn foreign(kind: Kind, name: &str) -> Value {
    let spec = match kind {
        SERVICE => json!({"ports": [{"name": "web", "port": 80}], "selector": {"app": "web"}}),
        MONITOR => json!({"selector": {}, "endpoints": []}),
        RULE => json!({"groups": []}),
        AUTOSCALER => json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"}, "maxReplicas": 2,
        }),
        _ => deployment(&json!({"app": name})),
    };
    json!({"apiVersion": kind.api_version(), "kind": kind.name, "metadata": {"name": name, "labels": {"app": "foreign"}}, "spec": spec})
}

fn deployment(selector: &Value) -> Value {
    json!({"replicas": 0, "selector": {"matchLabels": selector}, "template": {
        "metadata": {"labels": selector},
        "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
    }})
}

/// The fields that the third party wrote, and all fields that an apply of the controller would change.
fn written(object: &Value) -> [Value; 6] {
    let metadata = &object["metadata"];
    let others = metadata["managedFields"].as_array().into_iter().flatten();
    let managers: Vec<&Value> = others
        .map(|entry| &entry["manager"])
        .filter(|manager| *manager == "kconsumer-group-operator")
        .collect();
    [
        object["spec"].clone(),
        metadata["uid"].clone(),
        metadata["labels"].clone(),
        metadata["ownerReferences"].clone(),
        metadata["annotations"]["thenextapps.com/held-partitions"].clone(),
        json!(managers),
    ]
}

/// The name of each child in the message of the original.
fn original_name(kind: Kind) -> &'static str {
    match kind {
        MONITOR => "Service Monitor",
        RULE => "Prometheus Rule",
        AUTOSCALER => "HPA",
        other => other.name,
    }
}

async fn conflicts(ns: &Namespace, kind: Kind, object: &Value, conflict: &str) -> Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let before = ns.create_object(kind, object).await?;
    let audit = ns.audit()?;
    ns.create_group(&name, &json!({})).await?;
    let group = ns.group_is(&name, "False", "NameConflict").await?;
    let message = condition(&group, "Ready")[2];
    assert_eq!(
        message,
        format!(
            "{} {name} {conflict} and is not modified: delete it, or give the group another name",
            kind.name
        )
    );
    let reported = group["status"]["message"].as_str().unwrap_or_default();
    let originals = format!("Message: Error reconciling {}, Error: ", original_name(kind));
    assert!(reported.starts_with(&originals), "{reported}");
    for other in CHILDREN.into_iter().filter(|other| *other != kind) {
        ns.eventually(other, &name, "it goes on", |_| true).await?;
    }
    let after = ns.get(kind, &name).await?;
    assert_eq!(written(&after), written(&before), "{}", kind.name);
    // No controller writes a status of these, so even their resourceVersion is the same.
    if kind != AUTOSCALER && kind != DEPLOYMENT {
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    }
    assert_eq!(audit.of_child(kind, &name)?.len(), 0, "{} is not written", kind.name);

    ns.delete(kind, &name).await?;
    ns.group_is_ready(&name).await?;
    let adopted = ns.get(kind, &name).await?;
    assert_eq!(adopted["metadata"]["ownerReferences"][0]["uid"], group["metadata"]["uid"], "{}", kind.name);
    Ok(())
}

async fn an_object_without_an_owner_is_not_modified_until_it_is_deleted(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("conflicts").await?;
    for kind in CHILDREN {
        let object = foreign(kind, &format!("of-{}", kind.name.to_lowercase()));
        conflicts(&ns, kind, &object, "has no controller").await?;
    }
    ns.close().await
}

async fn an_object_of_another_controller_is_not_modified_until_it_is_deleted(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("conflicts-owned").await?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "their-owner"}});
    let uid = ns.create_object(CONFIG_MAP, &map).await?["metadata"]["uid"].clone();
    for kind in CHILDREN {
        let mut object = foreign(kind, &format!("of-{}", kind.name.to_lowercase()));
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "their-owner", "uid": uid, "controller": true}]);
        let conflict =
            format!("is controlled by ConfigMap their-owner of uid {}", uid.as_str().unwrap_or_default());
        conflicts(&ns, kind, &object, &conflict).await?;
    }
    ns.close().await
}

async fn a_child_whose_owner_reference_was_removed_is_not_adopted_again(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("conflicts-taken").await?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.group_is_ready("kconsumer").await?;
    let audit = ns.audit()?;
    for kind in CHILDREN {
        ns.patch(kind, "kconsumer", &json!({"metadata": {"ownerReferences": null}})).await?;
    }
    let group = ns
        .eventually(GROUP, "kconsumer", "all five are named", |group| {
            let [_, reason, message] = condition(group, "Ready");
            reason == "NameConflict" && message.matches("has no controller").count() == 5
        })
        .await?;
    assert_eq!(audit.children()?, [] as [String; 0]);
    for kind in CHILDREN {
        ns.delete(kind, "kconsumer").await?;
    }
    ns.group_is_ready("kconsumer").await?;
    for kind in CHILDREN {
        assert_eq!(
            ns.get(kind, "kconsumer").await?["metadata"]["ownerReferences"][0]["uid"],
            group["metadata"]["uid"]
        );
    }
    ns.close().await
}

/// `--cascade=orphan`: the consumers keep running without the group.
async fn orphaned_children_are_not_adopted_by_a_new_group(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("orphans").await?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.group_is_ready("kconsumer").await?;
    ns.kubectl(&["delete", "kcg", "kconsumer", "--cascade=orphan"]).await?.ok()?;
    let orphan = |seen: &Value| seen["metadata"]["ownerReferences"].is_null();
    let mut before = Vec::new();
    for kind in CHILDREN {
        before.push(ns.eventually(kind, "kconsumer", "it is an orphan", orphan).await?);
    }
    let audit = ns.audit()?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.group_is("kconsumer", "False", "NameConflict").await?;
    assert_eq!(audit.children()?, [] as [String; 0]);
    for (kind, before) in CHILDREN.into_iter().zip(before) {
        assert_eq!(ns.get(kind, "kconsumer").await?["spec"], before["spec"], "{}", kind.name);
        ns.delete(kind, "kconsumer").await?;
    }
    ns.group_is_ready("kconsumer").await?;
    ns.close().await
}

async fn an_immutable_selector_of_an_older_deployment_is_reported_with_a_cure(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("selector").await?;
    // Paused, so that an older Deployment can exist first.
    let group = ns.create_group("kconsumer", &json!({"paused": true})).await?;
    let older = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "kconsumer", "ownerReferences": [{
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "name": "kconsumer",
            "uid": group["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        }]},
        "spec": deployment(&json!({"app": "kconsumer"})),
    });
    let before = ns.create_object(DEPLOYMENT, &older).await?;
    let audit = ns.audit()?;
    ns.patch(GROUP, "kconsumer", &json!({"spec": {"paused": false}})).await?;
    let group = ns.group_is("kconsumer", "False", "SelectorImmutable").await?;
    let message = condition(&group, "Ready")[2];
    assert!(
        message.contains("has a different selector, which is immutable")
            && message.contains("kubectl delete"),
        "{message}"
    );
    for kind in [SERVICE, MONITOR, RULE, AUTOSCALER] {
        ns.eventually(kind, "kconsumer", "it goes on", |_| true).await?;
    }
    let after = ns.get(DEPLOYMENT, "kconsumer").await?;
    assert_eq!(written(&after), written(&before));
    assert_eq!(audit.of_child(DEPLOYMENT, "kconsumer")?.len(), 0, "neither written nor deleted");

    ns.delete(DEPLOYMENT, "kconsumer").await?;
    ns.group_is_ready("kconsumer").await?;
    ns.close().await
}

async fn a_recreated_group_waits_until_the_old_children_are_gone(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("recreated").await?;
    ns.create_group("kconsumer", &json!({})).await?;
    let active = |group: &Value| group["status"]["activePods"].as_array().is_some_and(|pods| pods.len() == 1);
    let before = ns.eventually(GROUP, "kconsumer", "its pod is active", active).await?;
    ns.delete(GROUP, "kconsumer").await?;
    let group = ns.create_group("kconsumer", &json!({})).await?;
    let uid = &group["metadata"]["uid"];
    assert_ne!(*uid, before["metadata"]["uid"]);
    for kind in CHILDREN {
        ns.eventually(kind, "kconsumer", "it is the new group's", |seen| {
            seen["metadata"]["ownerReferences"][0]["uid"] == *uid
        })
        .await?;
    }
    ns.group_is_ready("kconsumer").await?;
    ns.eventually(GROUP, "kconsumer", "its own pod alone is active", |group| {
        active(group) && group["status"]["activePods"] != before["status"]["activePods"]
    })
    .await?;
    ns.close().await
}
