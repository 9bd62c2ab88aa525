//! The cost of two hundred groups, counted in the audit log and printed at the end of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kcg_devcluster::audit::AuditEvent;
use kcg_tests::audit::{NamespaceAudit, between};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, GROUP, condition, is_ready};
use kcg_tests::{eventually, metric};
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;
use crate::original::LAG;

cases![
    a_new_group_costs_five_creations_and_a_few_status_writes,
    two_hundred_new_groups_cost_no_more_each,
    a_restart_with_two_hundred_groups_writes_nothing,
    two_hundred_groups_at_rest_cause_no_writes_while_their_autoscalers_write_statuses,
];

const MANY: usize = 200;
const NAMESPACE: &str = "many-groups";
/// How long the groups are observed at rest.
const REST: Duration = Duration::from_mins(1);
/// How many status writes of autoscalers there are meanwhile: three for each.
const CHATTER: u32 = 600;
/// The limit for all of them to be ready, with their pods, on two cores.
const LIMIT: Duration = Duration::from_mins(4);

async fn a_new_group_costs_five_creations_and_a_few_status_writes(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("one-group").await?;
    ns.create_topic("fast-data-topic", 1).await?;
    let audit = ns.audit()?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.group_is_ready("kconsumer").await?;
    let statuses = audit.statuses("kconsumer")?;
    assert_eq!(creations(&audit)?, 5);
    assert_eq!(audit.children()?.len(), 5, "{:?}", audit.children()?);
    assert_eq!((audit.reads()?, audit.ended_creations()?.len()), (0, 0), "nothing is read");
    gathered(&statuses)?;
    // One with the children, then one each for its pod, its metric and the status of the
    // autoscaler.
    assert!(statuses.len() <= 4, "{} status writes", statuses.len());
    env.record(format!("fresh group: 5 creations, {} status writes until its pod was ready", statuses.len()));
    ns.close().await
}

/// Asserts that there is at most one status write per second.
fn gathered(statuses: &[AuditEvent]) -> Result<()> {
    for pair in statuses.windows(2) {
        let apart = between(&pair[0], &pair[1])?;
        // Requests are sent a second apart; the distance may shrink until they arrive.
        assert!(apart > Duration::from_millis(900), "two status writes {apart:?} apart");
    }
    Ok(())
}

fn creations(audit: &NamespaceAudit) -> Result<usize> {
    let created = |event: &&AuditEvent| event.verb == "create" && event.object_ref.resource != "events";
    Ok(audit.by_operator()?.iter().filter(created).count())
}

fn name(number: usize) -> String {
    format!("group-{number}")
}

/// The groups, all of them ready; creates them if they do not exist.
async fn many(env: &Arc<SharedEnv>) -> Result<Namespace> {
    let ns = env.namespace(NAMESPACE).await?;
    env.metrics.set(NAMESPACE, "group-", LAG, 500);
    if ns.list(GROUP).await?.len() == MANY {
        return Ok(ns);
    }
    ns.create_topic("fast-data-topic", 1).await?;
    let names = stream::iter((0..MANY).map(name));
    let created = names.map(|name| {
        let ns = ns.clone();
        // Each has its own groupId, or they would conflict.
        async move { ns.create_group(&name, &json!({})).await.map(drop) }
    });
    created.buffer_unordered(8).try_collect::<Vec<()>>().await?;
    await_all(&ns).await?;
    Ok(ns)
}

/// Waits until all are ready, with one watch.
async fn await_all(ns: &Namespace) -> Result<()> {
    let well = |group: &Value| {
        is_ready(group, "True", "Reconciled") && condition(group, "MetricsAvailable")[0] == "True"
    };
    let mut events = pin!(watcher::watcher(ns.api(GROUP), watcher::Config::default()).default_backoff());
    let mut waiting: BTreeSet<String> = (0..MANY).map(name).collect();
    let watching = async {
        while let Some(event) = events.next().await {
            if let Ok(Event::InitApply(group) | Event::Apply(group)) = event {
                let name = group.name_any();
                if well(&serde_json::to_value(group)?) {
                    waiting.remove(&name);
                } else {
                    waiting.insert(name);
                }
            }
            if waiting.is_empty() {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    match tokio::time::timeout(LIMIT, watching).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("{} of {MANY} groups are not ready after {LIMIT:?}: {waiting:?}", waiting.len()),
    }
}

async fn two_hundred_new_groups_cost_no_more_each(env: Arc<SharedEnv>) -> Result<()> {
    let started = Instant::now();
    let audit = env.namespace(NAMESPACE).await?.audit()?;
    let ns = many(&env).await?;
    let took = started.elapsed();
    assert_eq!(creations(&audit)?, MANY * 5);
    let mut statuses: BTreeMap<String, Vec<AuditEvent>> = BTreeMap::new();
    for event in audit.by_operator()?.into_iter().filter(|event| event.resource() == "kconsumergroups/status")
    {
        statuses.entry(event.object_ref.name.clone()).or_default().push(event);
    }
    for written in statuses.values() {
        gathered(written)?;
    }
    let all: usize = statuses.values().map(Vec::len).sum();
    let most = statuses.values().map(Vec::len).max().unwrap_or_default();
    let writes = audit.children()?.len();
    assert_eq!(writes, MANY * 5, "each child is written once");
    env.record(format!(
        "{MANY} fresh groups: {} creations, {all} status writes ({most} at most for one), well with pods and metric after {:.0} s",
        MANY * 5,
        took.as_secs_f32()
    ));
    drop(ns);
    Ok(())
}

/// All writes of the controller since a mark, and the number of renewals of the Lease among them.
fn written_anywhere(env: &SharedEnv, since: kcg_devcluster::audit::Mark) -> Result<(Vec<String>, usize)> {
    let operator = &env.operator;
    let events = env.audit.since(since)?;
    let by_controller = events
        .iter()
        .filter(|event| event.is_write() && event.is_by(operator.namespace(), operator.controller_account()));
    let (lease, others): (Vec<_>, Vec<_>) =
        by_controller.partition(|event| event.object_ref.resource == "leases");
    let describe = |event: &&AuditEvent| {
        format!(
            "{} {} {}/{}",
            event.verb,
            event.resource(),
            event.object_ref.namespace,
            event.object_ref.name
        )
    };
    Ok((others.iter().map(describe).collect(), lease.len()))
}

async fn a_restart_with_two_hundred_groups_writes_nothing(env: Arc<SharedEnv>) -> Result<()> {
    let _place = many(&env).await?;
    let all: Vec<_> = env.controllers.lock().await.drain(..).collect();
    for replica in &all {
        replica.process().terminate(Duration::from_secs(15)).await?;
    }
    drop(all);
    let (mark, started) = (env.audit.mark()?, Instant::now());
    env.start_controller("one").await?;
    let groups = every_group_is_reconciled(&env).await?;
    let took = started.elapsed();
    env.start_controller("two").await?;
    let (writes, renewals) = written_anywhere(&env, mark)?;
    assert_eq!(writes, [] as [String; 0]);
    env.record(format!(
        "restart with {groups} groups: 0 writes but {renewals} of the Lease, every group looked at after {:.1} s",
        took.as_secs_f32()
    ));
    Ok(())
}

/// Waits until the one replica that runs has reconciled every group; returns how many there are.
pub async fn every_group_is_reconciled(env: &Arc<SharedEnv>) -> Result<f64> {
    let groups = many_known(env).await?;
    eventually("every group is reconciled", LIMIT, async || {
        let controllers = env.controllers.lock().await;
        let (_, text) = controllers.first().context("a replica")?.get("/metrics").await.unwrap_or_default();
        drop(controllers);
        let reconciled = metric(&text, "reconciles_total", |_| true).unwrap_or_default();
        let waiting = metric(&text, "workqueue_depth", |_| true).unwrap_or(1.0);
        Ok(if reconciled >= groups && waiting == 0.0 {
            Ok(())
        } else {
            Err(format!("{reconciled} of {groups}, {waiting} wait"))
        })
    })
    .await?;
    Ok(groups)
}

/// The number of groups in all namespaces.
async fn many_known(env: &Arc<SharedEnv>) -> Result<f64> {
    let all = env.kubectl(&["get", "kcg", "--all-namespaces", "-o", "name"]).await?;
    Ok(f64::from(u32::try_from(all.lines().count())?))
}

async fn two_hundred_groups_at_rest_cause_no_writes_while_their_autoscalers_write_statuses(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = many(&env).await?;
    await_all(&ns).await?;
    let (mark, audit) = (env.audit.mark()?, ns.audit()?);
    let mut ticks = tokio::time::interval(REST / CHATTER);
    for number in 0..CHATTER {
        ticks.tick().await;
        // What an autoscaler writes at each sync: another average, another message; its conditions
        // stay.
        // It stays within a factor of two of the 500 that the statuses show, and below the limit.
        let lag = (500 + number * 7 % 400).to_string();
        let current =
            json!([{"type": "Pods", "pods": {"metric": {"name": LAG}, "current": {"averageValue": lag}}}]);
        ns.patch_status(AUTOSCALER, &name(number as usize % MANY), &json!({"currentMetrics": current}))
            .await?;
    }
    let (writes, renewals) = written_anywhere(&env, mark)?;
    assert_eq!(writes, [] as [String; 0]);
    let by_cluster = audit.all_writes(AUTOSCALER)?;
    assert!(by_cluster > CHATTER as usize, "the autoscalers' controller wrote as well");
    env.record(format!(
        "{MANY} groups at rest for {} s, {by_cluster} autoscaler statuses written by others: 0 writes but {renewals} of the Lease",
        REST.as_secs()
    ));
    ns.close().await
}
