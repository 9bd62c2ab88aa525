//! Groups that an earlier version of the operator left behind: this version takes them over without
//! a new pod.
//!
//! `tests/fixtures/upgrade` has twenty groups as they were stored, and every object that the
//! controller of that version applied for them: the owned resources, then the statuses. The audit
//! log of its run is the source.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_api::names;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, POD, SERVICE, is_ready};
use kcg_tests::{eventually, repository};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cases::{cases, caught};
use crate::env::SharedEnv;
use crate::many_groups::every_group_is_reconciled;

cases![groups_of_an_earlier_version_keep_their_pods_and_a_restart_writes_nothing];

/// The namespace of the groups, which some of their owned resources name.
const NAMESPACE: &str = "upgrade";
const GROUPS: usize = 20;
/// The limit for the simulated pods of all groups, on two cores.
const LIMIT: Duration = Duration::from_mins(2);

fn fixture(file: &str) -> Result<String> {
    let path = repository("tests/fixtures/upgrade").join(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

async fn groups_of_an_earlier_version_keep_their_pods_and_a_restart_writes_nothing(
    env: Arc<SharedEnv>,
) -> Result<()> {
    stop_controllers(&env).await?;
    let outcome = caught(upgrade(&env)).await;
    if env.controllers.lock().await.is_empty() {
        env.start_controller("one").await?;
    }
    env.start_controller("two").await?;
    outcome
}

async fn upgrade(env: &Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace(NAMESPACE).await?.within(LIMIT);
    for file in ["topics.yaml", "groups.yaml"] {
        ns.kubectl_with(&["create", "-f", "-"], &fixture(file)?).await?.ok()?;
    }
    let applied = fixture("applied.jsonl")?;
    for object in applied.lines() {
        apply(&ns, serde_json::from_str(object)?).await?;
    }
    for deployment in ns.list(DEPLOYMENT).await? {
        let name = text(&deployment["metadata"]["name"]);
        let pods = ns.get(GROUP, name).await?["status"]["replicas"].clone();
        let runs = |seen: &Value| {
            seen["status"]["availableReplicas"] == pods
                && seen["status"]["observedGeneration"] == seen["metadata"]["generation"]
        };
        ns.eventually(DEPLOYMENT, name, "its pods run", runs).await?;
    }
    let before = running(&ns).await?;
    assert_eq!(before.len(), GROUPS);

    let audit = ns.audit()?;
    env.start_controller("one").await?;
    every_group_is_reconciled(env).await?;
    let mut written = 0;
    eventually("every group is ready and nothing is written any more", LIMIT, async || {
        // The only sign of rest is that nothing is written for a while. The pods are seconds old, so
        // a longer minReadySeconds makes them unavailable first.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = std::mem::replace(&mut written, audit.by_operator()?.len());
        let unready = unready(&ns).await?;
        let settled = before == written && unready.is_empty();
        Ok(if settled { Ok(()) } else { Err(format!("{written} writes, not ready: {unready:?}")) })
    })
    .await?;
    assert_are_kept(&before, &running(&ns).await?);
    env.record(format!("upgrade of {GROUPS} groups: {} writes of owned resources", audit.children()?.len()));

    stop_controllers(env).await?;
    let audit = ns.audit()?;
    env.start_controller("one").await?;
    every_group_is_reconciled(env).await?;
    let again: Vec<String> =
        audit.by_operator()?.iter().map(|event| format!("{} {}", event.verb, event.request_uri)).collect();
    assert_eq!(again, [] as [String; 0], "the writes of another restart");
    assert_are_kept(&before, &running(&ns).await?);
    an_undo_past_the_upgrade_brings_no_older_defaults_back(&ns).await?;
    a_recreated_deployment_has_no_probe_of_a_preset_that_the_crd_filled_in(&ns).await?;
    ns.close().await
}

/// The revision of before has no annotation with the version of its defaults, and `kubectl rollout
/// undo` restores the annotations, too.
async fn an_undo_past_the_upgrade_brings_no_older_defaults_back(ns: &Namespace) -> Result<()> {
    let groups = ns.list(GROUP).await?;
    let runs = |group: &&Value| group["spec"]["paused"] != true && group["status"]["defaultsVersion"] == "1";
    let group = groups.iter().find(runs).context("a group with the first defaults")?;
    let name = text(&group["metadata"]["name"]);
    let image = json!({"spec": {"consumerSpec": {"image": "example.com/consumer:2"}}});
    ns.patch(GROUP, name, &image).await?;
    let version = |seen: &Value| seen["metadata"]["annotations"][names::ANNOTATION_DEFAULTS_VERSION].clone();
    let newer =
        ns.eventually(DEPLOYMENT, name, "it has the next defaults", |seen| version(seen) == "2").await?;
    ns.group_is_ready(name).await?;
    ns.kubectl(&["rollout", "undo", "deployment", name]).await?.ok()?;
    let undone = |seen: &Value| {
        seen["metadata"]["generation"].as_i64() > newer["metadata"]["generation"].as_i64().map(|now| now + 1)
            && version(seen) == "2"
    };
    let repaired = ns.eventually(DEPLOYMENT, name, "the undo is taken back", undone).await?;
    assert_eq!(repaired["spec"]["template"], newer["spec"]["template"], "{name}");
    assert_eq!(ns.group_is_ready(name).await?["status"]["defaultsVersion"], "2");
    Ok(())
}

/// The CRD of the earlier version wrote its default into the spec, where it looks like a choice.
async fn a_recreated_deployment_has_no_probe_of_a_preset_that_the_crd_filled_in(
    ns: &Namespace,
) -> Result<()> {
    let groups = ns.list(GROUP).await?;
    let without_choice =
        |group: &&Value| group["spec"]["metrics"]["preset"] == "Spring" && group["spec"]["paused"] != true;
    let group = groups.iter().find(without_choice).context("a group with the default")?;
    let name = text(&group["metadata"]["name"]);
    let uid = ns.get(DEPLOYMENT, name).await?["metadata"]["uid"].clone();
    ns.delete(DEPLOYMENT, name).await?;
    let recreated =
        ns.eventually(DEPLOYMENT, name, "it is created again", |seen| seen["metadata"]["uid"] != uid).await?;
    assert_eq!(recreated["metadata"]["annotations"][names::ANNOTATION_DEFAULTS_VERSION], "2");
    let probe = &recreated["spec"]["template"]["spec"]["containers"][0]["readinessProbe"];
    assert_eq!(probe, &Value::Null, "{name}");
    Ok(())
}

/// The names of the groups that are not ready, or whose Deployment has pods that are not available.
async fn unready(ns: &Namespace) -> Result<Vec<String>> {
    let mut unready = Vec::new();
    for group in ns.list(GROUP).await? {
        let name = text(&group["metadata"]["name"]);
        let deployment = ns.get(DEPLOYMENT, name).await?;
        let runs = deployment["status"]["availableReplicas"] == deployment["spec"]["replicas"]
            && deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
        if !runs || !is_ready(&group, "True", "Reconciled") {
            unready.push(name.to_owned());
        }
    }
    Ok(unready)
}

async fn stop_controllers(env: &SharedEnv) -> Result<()> {
    let all: Vec<_> = env.controllers.lock().await.drain(..).collect();
    for replica in &all {
        replica.process().terminate(Duration::from_secs(15)).await?;
    }
    Ok(())
}

/// Applies an object as the earlier version did: with its field managers, and with the group as
/// owner.
async fn apply(ns: &Namespace, mut object: Value) -> Result<()> {
    let name = text(&object["metadata"]["name"]).to_owned();
    let patched = if object["kind"] == GROUP.name {
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        ns.api(GROUP).patch_status(&name, &params, &Patch::Apply(&object)).await
    } else {
        let owner = ns.get(GROUP, &name).await?;
        object["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"].clone();
        let kind = CHILDREN.into_iter().find(|kind| object["kind"] == kind.name);
        let kind = kind.with_context(|| format!("no owned resource: {}", object["kind"]))?;
        ns.api(kind).patch(&name, &PatchParams::apply(names::OPERATOR), &Patch::Apply(&object)).await
    };
    patched.map(drop).with_context(|| format!("apply {} {name}", object["kind"]))
}

/// What an upgrade must not change of each group: the pod template and the pods, the Service's
/// address, the autoscaler's bounds.
async fn running(ns: &Namespace) -> Result<Vec<Value>> {
    let mut pods = ns.list(POD).await?;
    pods.sort_by_key(|pod| pod["metadata"]["name"].to_string());
    let of = async |kind: Kind, name: &str| ns.get(kind, name).await;
    let mut groups = Vec::new();
    for group in ns.list(GROUP).await? {
        let name = text(&group["metadata"]["name"]);
        let (deployment, service, autoscaler) =
            (of(DEPLOYMENT, name).await?, of(SERVICE, name).await?, of(AUTOSCALER, name).await?);
        let pods: Vec<[&Value; 2]> = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"][names::LABEL_GROUP] == name)
            .map(|pod| [&pod["metadata"]["name"], &pod["metadata"]["uid"]])
            .collect();
        groups.push(json!({
            "group": name,
            "template": deployment["spec"]["template"],
            "pods": pods,
            "address": service["spec"]["clusterIP"],
            "bounds": [autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]],
        }));
    }
    Ok(groups)
}

fn assert_are_kept(before: &[Value], after: &[Value]) {
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        assert_eq!(after, before, "{} keeps its pods, template, address and bounds", before["group"]);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
