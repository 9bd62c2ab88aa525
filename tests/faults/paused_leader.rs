//! Two replicas of the operator as processes: the leader is paused until the other one leads, and then
//! resumed. Both have one ServiceAccount, so the metrics of each tell which of them wrote.

use std::time::Duration;

use anyhow::Result;
use kcg_api::names;
use kcg_devcluster::{ControlPlane, Replica};
use kcg_tests::env::{LIMIT, TestEnv, all_crds};
use kcg_tests::objects::{LEASE, SERVICE};
use kcg_tests::{Outcome, counted_requests, deploy, eventually, met, metric};
use serde_json::{Value, json};

const NAME: &str = "g";
const OLD: &str = "one";
const NEW: &str = "two";
/// Longer than the default: the new leader is paused, too, and must not lose its Lease.
const FLAGS: [&str; 2] = ["--leader-elect-lease-duration=15s", "--leader-elect-renew-deadline=10s"];
/// The verbs of all writes except those of the Lease, which is updated.
const WRITES: [&str; 5] = ["create", "apply", "patch", "delete", "deletecollection"];
/// How long a replica writes nothing once it has settled. The repair of a change takes less than a second.
const SETTLED: Duration = Duration::from_secs(2);

/// etcd, the API server and the garbage collector with the operator installed. No process of it runs.
async fn install() -> Result<TestEnv> {
    let plane = ControlPlane::builder()
        .audit(true)
        .scheduler(false)
        .controllers("garbage-collector-controller")
        .crds(all_crds());
    TestEnv::install(plane.start().await?, &deploy("scopes/cluster")).await
}

/// Waits until a replica of this identity holds the Lease.
async fn await_holder(env: &TestEnv, identity: &str) -> Result<()> {
    let home = env.existing_namespace(env.operator.namespace());
    let what = format!("{identity} holds it");
    // The rest of a holder's name is random.
    let prefix = format!("{identity}_");
    let is_held = |lease: &Value| {
        lease["spec"]["holderIdentity"].as_str().is_some_and(|holder| holder.starts_with(&prefix))
    };
    home.eventually(LEASE, names::LEASE, &what, is_held).await.map(drop)
}

/// How many writes a replica has tried, those of its Lease aside.
async fn writes(replica: &Replica) -> Result<u64> {
    let (_, metrics) = replica.get("/metrics").await?;
    Ok(counted_requests(&metrics, &WRITES))
}

/// Waits until a replica has tried no write for [`SETTLED`]. Returns how many it has tried.
async fn settled_writes(replica: &Replica) -> Result<u64> {
    eventually("no writes", LIMIT, async || {
        let before = writes(replica).await?;
        // The absence of writes can only be observed for a while.
        tokio::time::sleep(SETTLED).await;
        let after = writes(replica).await?;
        Ok(met(before == after, || format!("{} writes in {SETTLED:?}", after - before)).map(|()| after))
    })
    .await
}

/// Waits until a replica reports that it does not lead.
async fn no_longer_leads(replica: &Replica) -> Result<()> {
    eventually("it no longer leads", LIMIT, async || {
        let (_, metrics) = replica.get("/metrics").await?;
        let leads = metric(&metrics, "leader", |_| true);
        Ok(met(leads == Some(0.0), || format!("leader {leads:?}")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_until_another_one_led_is_a_standby_and_writes_nothing() -> Outcome {
    let env = install().await?;
    let _webhook = env.operator.start_webhook(&[]).await?;
    let ns = env.namespace("paused-leader").await?;
    ns.create_topic("fast-data-topic", 3).await?;
    let old = env.operator.start_controller(OLD, &FLAGS).await?;
    await_holder(&env, OLD).await?;
    let new = env.operator.start_controller(NEW, &FLAGS).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.children_exist(NAME).await?;
    ns.drift_is_repaired(NAME).await?;
    let before = settled_writes(&old).await?;
    assert!(before > 0, "the leader counts its writes");

    old.process().pause()?;
    let audit = ns.audit()?;
    await_holder(&env, NEW).await?;
    ns.drift_is_repaired(NAME).await?;
    audit.eventually_of_child(SERVICE, NAME, 1).await?;

    // Only the old leader could repair this change, and it does not lead.
    new.process().pause()?;
    let changed = ns.change_service(NAME).await?["metadata"]["resourceVersion"].clone();
    old.process().resume()?;
    no_longer_leads(&old).await?;
    assert_eq!(settled_writes(&old).await?, before, "the old leader wrote");
    assert_eq!(ns.get(SERVICE, NAME).await?["metadata"]["resourceVersion"], changed);
    assert_eq!(audit.children()?, [SERVICE.plural], "only the new leader's repair");

    new.process().resume()?;
    ns.service_is_repaired(NAME).await?;
    audit.eventually_of_child(SERVICE, NAME, 2).await?;
    assert_eq!(settled_writes(&old).await?, before, "the old leader wrote");
    assert_eq!(audit.children()?, [SERVICE.plural; 2], "only the new leader's repairs");
    await_holder(&env, NEW).await?;
    old.process().must_run()?;
    old.wait_ready().await?;

    // It takes part in the election again.
    let ended = new.process().terminate(LIMIT).await?;
    assert!(ended.success(), "{ended}");
    await_holder(&env, OLD).await?;
    ns.drift_is_repaired(NAME).await?;
    assert!(settled_writes(&old).await? > before, "the old leader leads again");
    Ok(())
}
