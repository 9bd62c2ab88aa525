//! Two controllers that both write, because they were started without a Lease: they want the same, so they
//! disturb each other little.

use std::time::Duration;

use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, GROUP, SERVICE, TOPIC};
use kcg_tests::{Outcome, eventually, is_long, met};
use serde_json::{Value, json};

use crate::env::{ControllerEnv, SOON, plane};

const GROUPS: usize = 4;
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

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_without_a_lease_settle_and_write_at_most_twice_as_much() -> Outcome {
    let (alone, shared) = (namespace("alone").await?, namespace("shared").await?);
    let one = ControllerEnv::start_without_lease(&alone).await?;
    let (first, second) = (
        ControllerEnv::start_without_lease(&shared).await?,
        ControllerEnv::start_without_lease(&shared).await?,
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
