//! What a group costs the API server, as counts from its audit log. Counts are the same on every computer;
//! times are not asserted here (docs/performance.md has them).
//!
//! All sentences share one API server and one controller with the rights that it ships with, and run in
//! their order.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kcg_api::names;
use kcg_devcluster::audit::{AuditEvent, AuditLog, Mark};
use kcg_devcluster::{ControlPlane, Replica};
use kcg_tests::env::{TestEnv, all_crds};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, GROUP, TOPIC, is_observed};
use kcg_tests::{deploy, eventually, met};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

const NAMESPACE: &str = "cost";
const MANY: usize = 30;
const LIMIT: Duration = Duration::from_mins(1);
/// How long a write that should not be there may take to appear.
const QUIET: Duration = Duration::from_secs(2);

struct Cost {
    controller: Mutex<Option<Replica>>,
    namespace: Namespace,
    audit: AuditLog,
    env: TestEnv,
}

impl Cost {
    async fn start() -> Result<Arc<Self>> {
        let builder = ControlPlane::builder().audit(true).controller_manager(false).scheduler(false);
        let plane = builder.crds(all_crds()).start().await?;
        let audit = plane.audit_log()?;
        let env = TestEnv::install(plane, &deploy("scopes/cluster")).await?;
        // Without a webhook, the API server refuses to create groups.
        for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
            env.kubectl(&["delete", kind, names::NAMESPACE]).await?;
        }
        let namespace = env.namespace_with_a_topic(NAMESPACE).await?;
        let cost = Self { controller: Mutex::default(), namespace, audit, env };
        cost.start_controller().await?;
        Ok(Arc::new(cost))
    }

    async fn start_controller(&self) -> Result<()> {
        let started = self.env.operator.start_controller("cost", &[]).await?;
        *self.controller.lock().await = Some(started);
        Ok(())
    }

    /// The controller's requests since a mark, but those for its Lease.
    fn requests(&self, since: Mark) -> Result<Vec<AuditEvent>> {
        let is_counted = |event: &AuditEvent| {
            event.is_by(names::NAMESPACE, names::CONTROLLER) && event.object_ref.resource != "leases"
        };
        Ok(self.audit.since(since)?.into_iter().filter(is_counted).collect())
    }

    /// How many requests of each verb and resource there were in the namespace, and no more of them come.
    async fn counts(&self, since: Mark, at_least: usize) -> Result<BTreeMap<String, usize>> {
        let in_namespace = || {
            let requests = self.requests(since)?;
            anyhow::Ok(requests.into_iter().filter(|event| event.object_ref.namespace == NAMESPACE))
        };
        eventually("the log has the requests", LIMIT, async || {
            let count = in_namespace()?.count();
            Ok(met(count >= at_least, || format!("{count} of {at_least}")))
        })
        .await?;
        // The absence of requests can only be observed for a while.
        tokio::time::sleep(QUIET).await;
        let mut counts = BTreeMap::new();
        for event in in_namespace()? {
            *counts.entry(format!("{} {}", event.verb, event.resource())).or_default() += 1;
        }
        Ok(counts)
    }

    async fn create_group(&self, name: &str) -> Result<()> {
        self.namespace.create_group(name, &json!({})).await?;
        self.namespace.eventually(GROUP, name, "it has a status", is_observed).await?;
        Ok(())
    }
}

/// What new groups cost: their children are created, their status is written, and nothing is read.
fn of_new_groups(count: usize) -> BTreeMap<String, usize> {
    let creations = CHILDREN.iter().map(|kind| (format!("create {}", kind.plural), count));
    creations.chain([("patch kconsumergroups/status".to_owned(), count)]).collect()
}

async fn a_new_group_costs_five_creations_one_status_write_and_no_read(cost: Arc<Cost>) -> Result<()> {
    let mark = cost.audit.mark()?;
    cost.create_group("first").await?;
    assert_eq!(cost.counts(mark, 6).await?, of_new_groups(1));
    Ok(())
}

async fn many_new_groups_cost_no_more_each(cost: Arc<Cost>) -> Result<()> {
    let mark = cost.audit.mark()?;
    let names: Vec<String> = (0..MANY).map(|index| format!("group-{index}")).collect();
    let created = names.iter().map(|name| cost.create_group(name));
    stream::iter(created).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    assert_eq!(cost.counts(mark, 6 * MANY).await?, of_new_groups(MANY));
    Ok(())
}

/// The autoscaler has the new maximum, before the alerts compare with it, and status and Event tell of it.
async fn a_new_partition_costs_two_applies_a_status_and_an_event_of_each_group(
    cost: Arc<Cost>,
) -> Result<()> {
    let groups = MANY + 1;
    // The first change of a created rule is preceded by a patch that ends the creation; the second Event
    // continues the first.
    for (partitions, of_rules, event) in [(5, 2, "create events"), (6, 1, "patch events")] {
        let mark = cost.audit.mark()?;
        let patch = json!({"spec": {"partitions": partitions}});
        cost.namespace.patch(TOPIC, "fast-data-topic", &patch).await?;
        let counts = cost.counts(mark, (3 + of_rules) * groups).await?;
        let expected = [
            (event, groups),
            ("patch horizontalpodautoscalers", groups),
            ("patch kconsumergroups/status", groups),
            ("patch prometheusrules", of_rules * groups),
        ];
        assert_eq!(counts, expected.map(|(what, count)| (what.to_owned(), count)).into());
        let patched = cost.requests(mark)?.into_iter().filter(|event| event.verb == "patch");
        let first = patched.fold(BTreeMap::new(), |mut first, event| {
            let AuditEvent { object_ref, request_received_timestamp: at, .. } = event;
            let known: &mut String =
                first.entry((object_ref.resource, object_ref.name)).or_insert_with(|| at.clone());
            *known = at.min(known.clone());
            first
        });
        for ((resource, name), at) in first.iter().filter(|((resource, _), _)| resource == "prometheusrules")
        {
            let scaled = &first[&("horizontalpodautoscalers".to_owned(), name.clone())];
            assert!(scaled < at, "{resource} {name} is written at {at}, and its autoscaler at {scaled}");
        }
    }
    Ok(())
}

async fn a_restart_lists_each_kind_once_and_neither_reads_a_group_nor_writes(cost: Arc<Cost>) -> Result<()> {
    if let Some(controller) = cost.controller.lock().await.take() {
        controller.process().terminate(Duration::from_secs(15)).await?;
    }
    let mark = cost.audit.mark()?;
    cost.start_controller().await?;
    tokio::time::sleep(QUIET).await;
    let requests = cost.requests(mark)?;
    let of = |verb: &str| -> Vec<String> {
        let mut resources: Vec<String> =
            requests.iter().filter(|event| event.verb == verb).map(AuditEvent::resource).collect();
        resources.sort();
        resources
    };
    let mut kinds: Vec<String> = CHILDREN.iter().map(|kind| kind.plural.to_owned()).collect();
    kinds.extend([GROUP.plural, TOPIC.plural, "pods"].map(str::to_owned));
    kinds.sort();
    let listed: Vec<String> = of("list").into_iter().filter(|resource| kinds.contains(resource)).collect();
    assert_eq!(listed, kinds, "each kind once");
    let reads = of("get").into_iter().filter(|resource| kinds.contains(resource)).count();
    let writes = requests.iter().filter(|event| event.is_write()).count();
    assert_eq!((reads, writes), (0, 0), "{:?} {:?}", of("get"), of("patch"));
    Ok(())
}

macro_rules! sentences {
    ($cost:expr, $runtime:expr, $($sentence:ident),+ $(,)?) => {
        vec![$({
            let (cost, handle) = ($cost.clone(), $runtime.handle().clone());
            Trial::test(stringify!($sentence), move || {
                let cost = cost.ok_or("there is no cluster")?;
                handle.block_on($sentence(cost)).map_err(|error| Failed::from(format!("{error:#}")))
            })
        }),+]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cost: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cost = if arguments.list { Ok(None) } else { runtime.block_on(Cost::start()).map(Some) };
    let cost = match cost {
        Ok(cost) => cost,
        Err(error) => {
            eprintln!("cost: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trials = sentences![
        cost,
        runtime,
        a_new_group_costs_five_creations_one_status_write_and_no_read,
        many_new_groups_cost_no_more_each,
        a_new_partition_costs_two_applies_a_status_and_an_event_of_each_group,
        a_restart_lists_each_kind_once_and_neither_reads_a_group_nor_writes,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
