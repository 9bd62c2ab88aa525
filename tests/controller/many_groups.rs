//! Many groups, as a process of its own sees them: what they cost when they are new, when they are there at
//! its start, and what objects of others cost. The long forms have the full numbers.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kcg_devcluster::usage;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, is_observed};
use kcg_tests::{Outcome, eventually, is_long, measured, met, metric, variable};
use kube::api::ListParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::env::{SOON, get};
use crate::processes::{AS_IT_IS, Controller, namespace};

/// The limit for all groups; they are created at some tens a second.
const ALL: Duration = Duration::from_hours(1);
/// The shipped limit of memory, in KiB.
const MEMORY: u64 = 256 << 10;
/// How many requests a test has in flight.
const AT_ONCE: usize = 16;
const REQUESTS: &str = "api_requests_total";

/// `KCG_MANY`, or the full number in the long form.
fn many(full: usize, short: usize) -> Outcome<usize> {
    Ok(variable("KCG_MANY")?.unwrap_or(if is_long() { full } else { short }))
}

/// How many writes the API server has carried out, and how many not. The Lease is replaced, and not counted
/// but for its creation.
async fn writes(of: &Controller) -> Outcome<[f64; 2]> {
    let text = get(of.metrics, "/metrics").await?;
    let is_write = |labels: &str| WRITES.iter().any(|verb| labels.contains(verb));
    let is_done = |labels: &str| labels.contains("code=\"20");
    let counted = |done: bool| metric(&text, REQUESTS, |labels| is_write(labels) && is_done(labels) == done);
    Ok([true, false].map(|done| counted(done).unwrap_or_default()))
}

/// The labels of writes.
const WRITES: [&str; 4] = ["verb=\"create\"", "verb=\"apply\"", "verb=\"patch\"", "verb=\"delete\""];

/// Creates objects; one that an earlier attempt has created is there.
async fn create(ns: &Namespace, kind: Kind, objects: impl Iterator<Item = Value>) -> Outcome {
    let created = stream::iter(objects).map(|object| async move {
        match ns.create_object(kind, &object).await {
            Err(error) if !format!("{error:#}").contains("AlreadyExists") => Err(error),
            _ => Ok(()),
        }
    });
    created.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

async fn count(ns: &Namespace, kind: Kind) -> kube::Result<usize> {
    Ok(ns.api(kind).list_metadata(&ListParams::default()).await?.items.len())
}

/// Waits until a controller has reconciled this many groups.
async fn has_reconciled(controller: &Controller, groups: usize) -> Outcome {
    let what = format!("{groups} groups reconciled");
    Ok(eventually(&what, ALL, async || {
        controller.process.must_run()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let text = get(controller.metrics, "/metrics").await.unwrap_or_default();
        let done = metric(&text, "reconciles_total", |_| true).unwrap_or_default();
        let waiting = metric(&text, "workqueue_depth", |_| true).unwrap_or(1.0);
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let met_all = done >= groups as f64 && waiting == 0.0;
        Ok(met(met_all, || format!("{done} reconciles, {waiting} wait")))
    })
    .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_new_groups_cost_six_writes_each_another_tenant_s_does_not_wait_and_a_restart_writes_nothing()
-> Outcome {
    let groups = many(10_000, 60)?;
    let (ns, other, folder) = (namespace("many-new").await?, namespace("one-new").await?, TempDir::new()?);
    let shell = format!("{AS_IT_IS} --namespaces={}", other.name);
    let first = Controller::start(&ns, "first", &shell, folder.path()).await?;
    first.is_ready().await?;
    let group = |number: usize| {
        let name = format!("many-{number}");
        kcg_tests::objects::group(&name, &json!({"consumerSpec": {"groupId": name}}))
    };
    let began = Instant::now();
    // One of another tenant comes when most of the others wait.
    let newest = async {
        eventually("most groups to exist", ALL, async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let there = count(&ns, GROUP).await?;
            Ok(met(there * 10 >= groups * 9, || there))
        })
        .await?;
        let waiting = metric(&get(first.metrics, "/metrics").await?, "workqueue_depth", |_| true);
        let waiting = waiting.ok_or("no depth of the workqueue")?;
        other.create_group("newest", &json!({"consumerSpec": {"groupId": "newest"}})).await?;
        let since = Instant::now();
        other.children_exist("newest").await?;
        Outcome::Ok((waiting, since.elapsed()))
    };
    let (created, newest) = tokio::join!(create(&ns, GROUP, (0..groups).map(group)), newest);
    created?;
    let (waiting, took) = newest?;
    has_reconciled(&first, groups + 1).await?;
    for kind in CHILDREN {
        let what = format!("{} of {groups} groups", kind.plural);
        eventually(&what, ALL, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let there = count(&ns, kind).await?;
            Ok(met(there == groups, || there))
        })
        .await?;
    }
    eventually("the status of every group", ALL, async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let open = ns.list(GROUP).await?.iter().filter(|group| !is_observed(group)).count();
        Ok(met(open == 0, || open))
    })
    .await?;
    let ([written, failed], converged) = (writes(&first).await?, began.elapsed());
    let resident = usage::resident_kib(first.process.pid()).ok_or("it ended")?;
    measured(&format!(
        "{groups} new groups: {written} writes, {failed} that failed, converged after {converged:.0?}, {resident} KiB; \
         one more while {waiting} waited had its children after {took:.1?}"
    ));
    // A group needs six writes of the controller, and one of the test.
    assert!(!is_long() || waiting > 0.0, "no group waited when the other tenant's was created");
    // The Lease is created, too.
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let most = 6.0 * (groups + 1) as f64 + 1.0;
    assert!(written <= most, "{written} writes of {most}");
    // A status that was made from an older version of its group is refused, for instance.
    assert!(failed <= most / 100.0, "{failed} writes failed");
    assert!(resident <= MEMORY, "{resident} KiB");
    // The short form shares its computer with other tests, and waits for the children as long as they do.
    assert!(!is_long() || took <= Duration::from_secs(5), "{took:?}");
    first.process.terminate(SOON).await?;

    let (began, second) = (Instant::now(), Controller::start(&ns, "second", &shell, folder.path()).await?);
    second.is_ready().await?;
    has_reconciled(&second, groups + 1).await?;
    let ([written, failed], took) = (writes(&second).await?, began.elapsed());
    let peak = usage::peak_kib(second.process.pid()).ok_or("it ended")?;
    measured(&format!("restart with {groups} groups: {written} writes, {took:.1?}, at most {peak} KiB"));
    assert!(written + failed == 0.0, "{written} and {failed} writes after a restart");
    assert!(peak <= MEMORY, "{peak} KiB");
    second.process.terminate(SOON).await?;
    ns.kubectl(&["delete", "kcg", "--all", "--wait=false"]).await?.ok()?;
    Ok(())
}

/// A Deployment or an autoscaler that is not the operator's.
fn foreign(number: usize) -> (Kind, Value) {
    let name = format!("foreign-{number}");
    if number.is_multiple_of(2) {
        let labels = json!({"app": name});
        let container = json!({"name": "c", "image": "i"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
        return (
            DEPLOYMENT,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}),
        );
    }
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let spec = json!({"minReplicas": 1, "maxReplicas": 2, "scaleTargetRef": target});
    (
        AUTOSCALER,
        json!({
            "apiVersion": AUTOSCALER.api_version(), "kind": AUTOSCALER.name,
            "metadata": {"name": name}, "spec": spec,
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_and_autoscalers_of_others_cost_no_memory_and_no_cpu_time() -> Outcome {
    let objects = many(50_000, 300)?;
    let (ns, folder) = (namespace("many-foreign").await?, TempDir::new()?);
    ns.create_group("g", &json!({})).await?;
    let controller = Controller::start(&ns, "controller", AS_IT_IS, folder.path()).await?;
    ns.children_exist("g").await?;
    controller.is_ready().await?;
    has_reconciled(&controller, 1).await?;
    let pid = controller.process.pid();
    let used = || Some((usage::resident_kib(pid)?, usage::cpu_seconds(pid)?));
    let (before, began) = (used().ok_or("it ended")?, Instant::now());
    let all: Vec<(Kind, Value)> = (0..objects).map(foreign).collect();
    for kind in [DEPLOYMENT, AUTOSCALER] {
        create(&ns, kind, all.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object.clone())).await?;
    }
    // Whatever the watches bring has come when a later change has.
    ns.drift_is_repaired("g").await?;
    let (after, took) = (used().ok_or("it ended")?, began.elapsed());
    let busy = (after.1 - before.1) / took.as_secs_f64();
    let cores = busy * 100.0;
    measured(&format!(
        "{objects} foreign objects in {took:.0?}: {} KiB before, {} KiB after, {cores:.1} % of a core",
        before.0, after.0
    ));
    assert!(after.0 <= before.0 + before.0 / 20 + 1024, "{before:?}, {after:?}");
    // At rest it renews its Lease and answers what the test asks.
    assert!(after.1 - before.1 <= 1.0 + 0.02 * took.as_secs_f64(), "{cores:.1} % of a core in {took:?}");
    let peak = usage::peak_kib(pid).ok_or("it ended")?;
    let later = Controller::start(&ns, "later", AS_IT_IS, folder.path()).await?;
    later.is_ready().await?;
    let at_start = usage::peak_kib(later.process.pid()).ok_or("it ended")?;
    measured(&format!("one that starts later: at most {at_start} KiB, the first {peak} KiB"));
    assert!(at_start <= peak + peak / 10 + 1024, "{at_start} KiB, {peak} KiB of the first");
    controller.process.must_run()?;
    Ok(())
}
