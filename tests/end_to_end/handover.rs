//! Two replicas and one Lease: who has it writes, the other takes over when it is given back or has run out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::ledger::{self, time};
use crate::objects::{AUTOSCALER, DEPLOYMENT, GROUP, LEASE, SERVICE, TOPIC, condition, is_settled};
use crate::place::Place;
use crate::world::World;

cases![
    standby_watches_and_writes_nothing,
    leader_that_is_told_to_end_hands_over_at_once,
    leader_that_dies_is_succeeded_when_its_lease_has_run_out,
    what_is_held_and_what_runs_survive_a_restart_of_all,
];

const NAME: &str = "kconsumer";
const LEASE_NAME: &str = "kconsumer-group-operator";
/// The Lease's length, one try at it, and room for a busy computer.
const EXPIRY: Duration = Duration::from_secs(15);

fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default()
}

/// The position of the replica that leads.
async fn leader(world: &Arc<World>) -> Result<usize> {
    let home = Place::at(world, world.operator.namespace());
    let lease = home.sees(LEASE, LEASE_NAME, "somebody holds it", |lease| !holder(lease).is_empty()).await?;
    let controllers = world.controllers.lock().await;
    let leads = controllers.iter().position(|replica| holder(&lease).starts_with(replica.process().name()));
    leads.with_context(|| format!("{} is none of ours", holder(&lease)))
}

/// Waits until somebody other than `before` holds the Lease.
async fn await_successor(world: &Arc<World>, before: &str) -> Result<()> {
    let home = Place::at(world, world.operator.namespace());
    let another = |lease: &Value| !holder(lease).is_empty() && !holder(lease).starts_with(before);
    home.sees(LEASE, LEASE_NAME, "another one holds it", another).await.map(drop)
}

/// Changes a field of ours and awaits its repair.
async fn drift(place: &Place) -> Result<()> {
    let spoilt = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]);
    place.edit(SERVICE, NAME, &spoilt).await?;
    let repaired = |seen: &Value| seen["spec"]["ports"][0]["targetPort"] == 8085;
    place.sees(SERVICE, NAME, "it is repaired", repaired).await.map(drop)
}

/// The requests of each kind that a replica has made, by its own count.
async fn requests(world: &Arc<World>, position: usize, verbs: &[&str]) -> Result<u64> {
    let controllers = world.controllers.lock().await;
    let (_, metrics) = controllers[position].get("/metrics").await?;
    let lines = metrics.lines().filter(|line| line.contains("_api_requests_total{"));
    let counted = lines.filter(|line| verbs.iter().any(|verb| line.contains(&format!("verb=\"{verb}\""))));
    Ok(counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

async fn standby_watches_and_writes_nothing(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "standby").await?;
    let leads = leader(&world).await?;
    let standby = 1 - leads;
    drift(&place).await?;
    assert!(requests(&world, leads, &["apply"]).await? > 0, "the leader counts its writes");
    assert!(requests(&world, standby, &["list", "watch"]).await? > 0, "the standby watches");
    assert_eq!(requests(&world, standby, &["apply", "patch", "delete"]).await?, 0);
    let controllers = world.controllers.lock().await;
    assert_eq!(controllers[standby].get("/readyz").await?.0, 200, "it is ready to take over");
    drop(controllers);
    place.close().await
}

async fn leader_that_is_told_to_end_hands_over_at_once(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "handover").await?;
    // All that there is to say of it has been said: its autoscaler has looked for the metric, too.
    place.group_says(NAME, "MetricsAvailable", "MetricsMissing").await?;
    let leads = leader(&world).await?;
    let home = Place::at(&world, world.operator.namespace());
    let (page, beside, told) = (home.ledger()?, place.ledger()?, std::time::Instant::now());
    let leaving = world.controllers.lock().await.remove(leads);
    let name = leaving.process().name().to_owned();
    let status = leaving.process().terminate(Duration::from_secs(10)).await?;
    assert!(status.success(), "{status}");
    await_successor(&world, &name).await?;
    let took = told.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    world.figure(format!(
        "handover on SIGTERM: {} ms until the other replica holds the Lease",
        took.as_millis()
    ));
    assert!(page.by_operator()?.iter().all(|event| event.object_ref.resource == "leases"));
    assert!(beside.by_operator()?.is_empty(), "a new leader finds a group that is well and writes nothing");

    drift(&place).await?;
    world.start_controller(&name).await?;
    place.close().await
}

async fn leader_that_dies_is_succeeded_when_its_lease_has_run_out(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "takeover").await?;
    let leads = leader(&world).await?;
    let home = Place::at(&world, world.operator.namespace());
    let dying = world.controllers.lock().await.remove(leads);
    let name = dying.process().name().to_owned();
    dying.process().kill();
    let (page, lease) = (place.ledger()?, home.ledger()?);
    drift(&place).await?;
    await_successor(&world, &name).await?;

    // The one that stood by wrote nothing before it had the Lease.
    let (repair, taken) = (page.awaited(SERVICE, NAME, 1).await?, lease.awaited(LEASE, LEASE_NAME, 1).await?);
    let (repair, taken) =
        (repair.first().context("it was repaired")?, taken.first().context("it was taken")?);
    assert!(time(taken)? < time(repair)?);
    let spoilt = page.by_others(SERVICE, NAME)?;
    let took = ledger::between(&spoilt[0], repair)?;
    assert!(took < EXPIRY, "it took {took:?}");
    world.figure(format!("takeover after kill -9: {:.1} s until the first repair", took.as_secs_f32()));
    assert_eq!(page.children()?, [SERVICE.plural], "and nothing else, however often");
    world.start_controller(&name).await?;
    place.close().await
}

async fn what_is_held_and_what_runs_survive_a_restart_of_all(world: Arc<World>) -> Result<()> {
    let place = Place::with_a_group(&world, "restart").await?;
    place.kubectl(&["scale", "deployment/kconsumer", "--replicas=2"]).await?.ok()?;
    place.delete(TOPIC, "fast-data-topic").await?;
    place
        .sees(GROUP, NAME, "two run, of a topic that is away", |group| {
            condition(group, "TopicsResolved")[1] == "TopicNotFound" && group["status"]["readyReplicas"] == 2
        })
        .await?;
    let page = place.ledger()?;
    let mut all: Vec<_> = world.controllers.lock().await.drain(..).collect();
    for replica in &all {
        replica.process().terminate(Duration::from_secs(10)).await?;
    }
    all.clear();
    for identity in ["one", "two"] {
        world.start_controller(identity).await?;
    }
    leader(&world).await?;
    // What is awaited here comes after the look at every group that a new leader begins with.
    place.patch(GROUP, NAME, &json!({"spec": {"averageRecordsLagLimit": 7}})).await?;
    let group = place.sees(GROUP, NAME, "it is settled", is_settled).await?;
    assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(
        page.children()?,
        [AUTOSCALER.plural, "prometheusrules"],
        "only what the spec's change asks for"
    );
    place.bounds_are(NAME, 1, 3).await?;
    assert_eq!(place.get(DEPLOYMENT, NAME).await?["spec"]["replicas"], 2);
    place.close().await
}
