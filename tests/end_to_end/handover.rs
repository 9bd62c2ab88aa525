//! Two replicas and one Lease: the holder writes, the other takes over when the Lease is released
//! or expires.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_tests::audit::{self, received};
use kcg_tests::counted_requests;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, LEASE, SERVICE, TOPIC, condition, is_observed};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    the_standby_watches_and_writes_nothing,
    a_terminating_leader_hands_over_at_once,
    a_killed_leader_is_succeeded_when_its_lease_expires,
    held_partitions_and_pods_survive_a_restart_of_all_replicas,
];

const NAME: &str = "kconsumer";
const LEASE_NAME: &str = "kconsumer-group-operator";
/// The lease duration, one retry period, and slack for a busy computer.
const EXPIRY: Duration = Duration::from_secs(15);

fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default()
}

/// The position of the replica that leads.
async fn leader(env: &Arc<SharedEnv>) -> Result<usize> {
    let home = env.existing_namespace(env.operator.namespace());
    let lease = home.eventually(LEASE, LEASE_NAME, "it is held", |lease| !holder(lease).is_empty()).await?;
    let controllers = env.controllers.lock().await;
    let leads = controllers.iter().position(|replica| holder(&lease).starts_with(replica.process().name()));
    leads.with_context(|| format!("no replica has the identity {}", holder(&lease)))
}

/// Waits until another holder than `before` has the Lease.
async fn await_successor(env: &Arc<SharedEnv>, before: &str) -> Result<()> {
    let home = env.existing_namespace(env.operator.namespace());
    let another = |lease: &Value| !holder(lease).is_empty() && !holder(lease).starts_with(before);
    home.eventually(LEASE, LEASE_NAME, "another one holds it", another).await.map(drop)
}

/// The number of requests with these verbs that a replica counted in its metrics.
async fn requests(env: &Arc<SharedEnv>, position: usize, verbs: &[&str]) -> Result<u64> {
    let controllers = env.controllers.lock().await;
    let (_, metrics) = controllers[position].get("/metrics").await?;
    Ok(counted_requests(&metrics, verbs))
}

async fn the_standby_watches_and_writes_nothing(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("standby").await?;
    let leads = leader(&env).await?;
    let standby = 1 - leads;
    ns.drift_is_repaired(NAME).await?;
    assert!(requests(&env, leads, &["apply"]).await? > 0, "the leader counts its writes");
    assert!(requests(&env, standby, &["list", "watch"]).await? > 0, "the standby watches");
    assert_eq!(requests(&env, standby, &["apply", "patch", "delete"]).await?, 0);
    let controllers = env.controllers.lock().await;
    assert_eq!(controllers[standby].get("/readyz").await?.0, 200, "it is ready to take over");
    drop(controllers);
    ns.close().await
}

async fn a_terminating_leader_hands_over_at_once(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("handover").await?;
    // Its status is final: the autoscaler has also queried the metric.
    ns.condition_is(NAME, "MetricsAvailable", "MetricsMissing").await?;
    let leads = leader(&env).await?;
    let home = env.existing_namespace(env.operator.namespace());
    let (leases, writes, started) = (home.audit()?, ns.audit()?, std::time::Instant::now());
    let leaving = env.controllers.lock().await.remove(leads);
    let name = leaving.process().name().to_owned();
    let status = leaving.process().terminate(Duration::from_secs(10)).await?;
    assert!(status.success(), "{status}");
    await_successor(&env, &name).await?;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    env.record(format!(
        "handover on SIGTERM: {} ms until the other replica holds the Lease",
        took.as_millis()
    ));
    assert!(leases.by_operator()?.iter().all(|event| event.object_ref.resource == "leases"));
    assert!(writes.by_operator()?.is_empty(), "a new leader writes nothing for a group that is ready");

    ns.drift_is_repaired(NAME).await?;
    env.start_controller(&name).await?;
    ns.close().await
}

async fn a_killed_leader_is_succeeded_when_its_lease_expires(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("takeover").await?;
    let leads = leader(&env).await?;
    let home = env.existing_namespace(env.operator.namespace());
    let dying = env.controllers.lock().await.remove(leads);
    let name = dying.process().name().to_owned();
    dying.process().kill();
    let (audit, lease) = (ns.audit()?, home.audit()?);
    ns.drift_is_repaired(NAME).await?;
    await_successor(&env, &name).await?;

    // The standby wrote nothing before it held the Lease.
    let (repair, taken) = (
        audit.eventually_of_child(SERVICE, NAME, 1).await?,
        lease.eventually_of_child(LEASE, LEASE_NAME, 1).await?,
    );
    let (repair, taken) =
        (repair.first().context("it was repaired")?, taken.first().context("it was taken")?);
    assert!(received(taken)? < received(repair)?);
    let changes = audit.by_administrator(SERVICE, NAME)?;
    let took = audit::between(&changes[0], repair)?;
    assert!(took < EXPIRY, "it took {took:?}");
    env.record(format!("takeover after kill -9: {:.1} s until the first repair", took.as_secs_f32()));
    assert_eq!(audit.children()?, [SERVICE.plural], "only the repair");
    env.start_controller(&name).await?;
    ns.close().await
}

async fn held_partitions_and_pods_survive_a_restart_of_all_replicas(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_group("restart").await?;
    ns.kubectl(&["scale", "deployment/kconsumer", "--replicas=2"]).await?.ok()?;
    ns.delete(TOPIC, "fast-data-topic").await?;
    ns.eventually(GROUP, NAME, "two pods are ready, and the topic does not exist", |group| {
        condition(group, "TopicsResolved")[1] == "TopicNotFound" && group["status"]["readyReplicas"] == 2
    })
    .await?;
    let audit = ns.audit()?;
    let mut all: Vec<_> = env.controllers.lock().await.drain(..).collect();
    for replica in &all {
        replica.process().terminate(Duration::from_secs(10)).await?;
    }
    all.clear();
    for identity in ["one", "two"] {
        env.start_controller(identity).await?;
    }
    leader(&env).await?;
    // This repair comes after the first reconciliation of every group by the new leader.
    ns.patch(GROUP, NAME, &json!({"spec": {"averageRecordsLagLimit": 7}})).await?;
    let group = ns.eventually(GROUP, NAME, "it is settled", is_observed).await?;
    assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(
        audit.children()?,
        [AUTOSCALER.plural, "prometheusrules"],
        "only the children that the change of the spec concerns"
    );
    ns.bounds_are(NAME, 1, 3).await?;
    assert_eq!(ns.get(DEPLOYMENT, NAME).await?["spec"]["replicas"], 2);
    ns.close().await
}
