//! Two controllers that both write, because they were started without a Lease. If they want the same, they
//! disturb each other little; if not, as two versions may, each writes at its group's rate until one ends.

use std::time::Duration;

use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, GROUP, SERVICE, TOPIC};
use kcg_tests::{Outcome, eventually, is_long, met};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::env::{ControllerEnv, SOON, plane};

const GROUPS: usize = 4;
/// The changes of a group that are made at once; more come at one a second.
const BURST: usize = 20;
/// How long two versions are watched that undo each other's writes.
const FIGHT: Duration = Duration::from_secs(5);
/// How long nothing may be written when all is settled.
const SETTLED: Duration = Duration::from_secs(3);

/// The rounds of changes: two, or ten minutes of them.
fn rounds() -> i64 {
    if is_long() { 100 } else { 2 }
}

async fn namespace(name: &str) -> Outcome<Namespace> {
    let plane = plane().await?;
    let namespace = Namespace::create(plane, &plane.client().await?, name).await?.within(SOON);
    namespace.create_topic("fast-data-topic", 3).await?;
    Ok(namespace)
}

fn names() -> impl Iterator<Item = String> {
    (0..GROUPS).map(|number| format!("g{number}"))
}

/// Changes the specs and the topic, edits and deletes children, and waits for each result. Whatever was not
/// deleted is the same object in the end.
async fn churn(ns: &Namespace) -> Outcome {
    for name in names() {
        ns.create_group(&name, &json!({"consumerSpec": {"groupId": name}})).await?;
    }
    for name in names() {
        ns.children_exist(&name).await?;
    }
    let before = uids(ns).await?;
    for round in 0..rounds() {
        let partitions = 4 + round;
        ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": partitions}})).await?;
        for name in names() {
            ns.bounds_are(&name, 1, partitions).await?;
            let spec = json!({"averageRecordsLagLimit": 100 + round});
            ns.patch(GROUP, &name, &json!({"spec": spec})).await?;
            let limit = (100 + round).to_string();
            ns.eventually(AUTOSCALER, &name, "the limit", |seen| seen["spec"].to_string().contains(&limit))
                .await?;
            ns.drift_is_repaired(&name).await?;
        }
        let deleted = ns.get(SERVICE, "g0").await?["metadata"]["uid"].clone();
        ns.delete(SERVICE, "g0").await?;
        ns.eventually(SERVICE, "g0", "another one", |seen| seen["metadata"]["uid"] != deleted).await?;
    }
    assert_eq!(before, uids(ns).await?, "a child was made again");
    Ok(())
}

/// The uids of all children but the Services, in order.
async fn uids(ns: &Namespace) -> Outcome<Vec<Value>> {
    let mut uids = Vec::new();
    for kind in CHILDREN {
        let objects = ns.list(kind).await?;
        assert_eq!(objects.len(), GROUPS, "{}", kind.plural);
        if kind != SERVICE {
            uids.extend(objects.iter().map(|object| object["metadata"]["uid"].clone()));
        }
    }
    Ok(uids)
}

/// Waits until none of them has written for [`SETTLED`]; returns how much they wrote.
async fn writes(controllers: &[&ControllerEnv]) -> Outcome<usize> {
    let count = || controllers.iter().map(|env| env.faults.log.writes().len()).sum::<usize>();
    Ok(eventually("no writes", SOON, async || {
        let before = count();
        tokio::time::sleep(SETTLED).await;
        let after = count();
        Ok(met(before == after, || format!("{} writes in {SETTLED:?}", after - before)).map(|()| after))
    })
    .await?)
}

/// A folder with a file of defaults, by which every child gets this label.
fn version(name: &str) -> Outcome<TempDir> {
    let folder = TempDir::new()?;
    let text = format!("inheritedMetadata: {{labels: {{version: {name}}}}}");
    std::fs::write(folder.path().join("defaults.yaml"), text)?;
    Ok(folder)
}

/// Waits until every child of the groups has the label of a version.
async fn children_are_of(ns: &Namespace, version: &str) -> Outcome {
    for name in names() {
        for kind in CHILDREN {
            ns.eventually(kind, &name, version, |child| child["metadata"]["labels"]["version"] == version)
                .await?;
        }
    }
    Ok(())
}

/// A stop of the old version before the start of the new one, or a Lease, keeps them apart; an installation
/// without either can be seen by the alerts SeveralLeaders and DefaultsDiffer.
#[tokio::test(flavor = "multi_thread")]
async fn two_versions_without_a_lease_write_at_the_rate_of_a_group_until_one_of_them_ends() -> Outcome {
    let ns = namespace("two-versions").await?;
    let (old, new) = (version("old")?, version("new")?);
    let file = |of: &TempDir| Some(of.path().join("defaults.yaml"));
    let first = ControllerEnv::start_without_lease(&ns, file(&old)).await?;
    for name in names() {
        ns.create_group(&name, &json!({"consumerSpec": {"groupId": name}})).await?;
    }
    for name in names() {
        ns.children_exist(&name).await?;
    }
    children_are_of(&ns, "old").await?;
    writes(&[&first]).await?;
    first.faults.log.clear();

    let second = ControllerEnv::start_without_lease(&ns, file(&new)).await?;
    let changes = |env: &ControllerEnv| env.faults.log.count("PATCH", "/g0?");
    eventually("each undoes the other's writes", SOON, async || {
        let both = [&first, &second].map(changes);
        Ok(met(both.iter().all(|count| *count > BURST), || format!("{both:?}")))
    })
    .await?;
    let before = [&first, &second].map(changes);
    // A rate can only be observed for a while.
    tokio::time::sleep(FIGHT).await;
    let [one, other] = [&first, &second].map(changes);
    let during = [one - before[0], other - before[1]];
    let most = usize::try_from(FIGHT.as_secs())? + 2;
    assert!(during.iter().all(|count| *count <= most), "{during:?} changes of a group in {FIGHT:?}");
    // Both want the same pods, so no pod was replaced, and the groups are as before.
    for env in [&first, &second] {
        let made = CHILDREN.map(|kind| env.faults.log.count("POST", &format!("/{}?", kind.plural)));
        assert_eq!(made, [0; CHILDREN.len()]);
    }

    first.stop().await?;
    children_are_of(&ns, "new").await?;
    writes(&[&second]).await?;
    children_are_of(&ns, "new").await?;
    second.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_versions_with_a_lease_the_leader_s_alone_is_written() -> Outcome {
    let ns = namespace("two-versions-lease").await?;
    let (old, new) = (version("old")?, version("new")?);
    let file = |of: &TempDir| of.path().join("defaults.yaml");
    let leader = ControllerEnv::start_in(plane().await?, ns.clone(), Some(file(&old))).await?;
    for name in names() {
        ns.create_group(&name, &json!({"consumerSpec": {"groupId": name}})).await?;
    }
    for name in names() {
        ns.children_exist(&name).await?;
    }
    let standby = leader.start_standby(file(&new)).await?;
    eventually("the standby to be ready", SOON, async || {
        let text = standby.readyz().await.unwrap_or_default();
        Ok(met(text.starts_with("HTTP/1.1 200"), || text))
    })
    .await?;
    for name in names() {
        ns.drift_is_repaired(&name).await?;
    }
    writes(&[&leader]).await?;
    children_are_of(&ns, "old").await?;
    assert_eq!(standby.faults.log.writes(), Vec::<String>::new());
    leader.stop().await?;
    children_are_of(&ns, "new").await?;
    writes(&[&standby]).await?;
    standby.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_without_a_lease_settle_and_write_at_most_twice_as_much() -> Outcome {
    let (alone, shared) = (namespace("alone").await?, namespace("shared").await?);
    let one = ControllerEnv::start_without_lease(&alone, None).await?;
    let (first, second) = (
        ControllerEnv::start_without_lease(&shared, None).await?,
        ControllerEnv::start_without_lease(&shared, None).await?,
    );
    tokio::try_join!(churn(&alone), churn(&shared))?;
    let clean = writes(&[&one]).await?;
    let both = writes(&[&first, &second]).await?;
    let each = [&first, &second].map(|env| env.faults.log.writes().len());
    assert!(each.iter().all(|count| *count > 0), "only one of them wrote: {each:?}");
    assert!(both <= 2 * clean, "{both} writes of two, {clean} of one");
    for env in [one, first, second] {
        env.stop().await?;
    }
    Ok(())
}
