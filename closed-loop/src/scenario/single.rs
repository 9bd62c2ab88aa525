//! One group on one topic.

use anyhow::{Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_demo::terminal::Expect;

use crate::consumer::Consumer;
use crate::observe::broker::Subscription;
use crate::observe::requests;
use crate::results::Results;
use crate::runner::{Load, Runner, sent_values};
use crate::settings::SHORT_LIMIT;
use crate::text::count;

/// The group, its Deployment and its consumers' image.
const GROUP: &str = "kconsumer";
/// The topic that it consumes.
const TOPIC: &str = "fast-data-topic";

/// Who consumes what.
pub(super) fn subscriptions() -> Vec<Subscription> {
    vec![Subscription { group: GROUP.into(), topics: vec![TOPIC.into()] }]
}

/// All steps in order.
pub(crate) async fn run(runner: &mut Runner) -> Result<Results> {
    reject(runner).await?;
    create(runner).await?;
    let topic_to_ceiling_ms = Some(grow(runner).await?);
    let at = load(runner).await?;
    kill(runner).await?;
    check_alert(runner, at)?;
    scale_in(runner).await?;
    let (records, limit) = (runner.settings.records, runner.settings.limit());
    let sent = [(TOPIC.to_owned(), sent_values(records).collect())].into();
    let load = Load { group: GROUP.into(), at, sent, limit, topic_to_ceiling_ms };
    let results = runner
        .collect(&format!("{} records and the end marker, one topic, one group", count(records)), &[load])?;
    delete(runner).await?;
    Ok(results)
}

async fn reject(runner: &mut Runner) -> Result<()> {
    runner.step("A topic with one partition: a group that asks for more is rejected")?;
    let topic = [
        "kubectl create -f closed-loop/manifests/topic.yaml",
        "kubectl wait kafkatopic/fast-data-topic --for=condition=Ready --timeout=60s",
    ];
    runner.run_all(&topic).await?;
    runner.run("cat closed-loop/manifests/bad-group.yaml", Expect::Success).await?;
    runner.run("kubectl create -f closed-loop/manifests/bad-group.yaml", Expect::Rejection).await
}

/// The files of the group and of its shortened windows.
fn manifests(consumer: Consumer) -> (&'static str, &'static str) {
    match consumer {
        Consumer::Rust => ("group.yaml", "short-windows.yaml"),
        Consumer::Spring => ("group-spring.yaml", "short-windows-java.yaml"),
        Consumer::Jmx => ("group-jmx.yaml", "short-windows-java.yaml"),
    }
}

async fn create(runner: &mut Runner) -> Result<()> {
    let consumer = runner.settings.consumer;
    runner.step(&format!(
        "A valid group is created, and its consumer joins the group on the broker: {}",
        consumer.description()
    ))?;
    let (group, windows) = manifests(consumer);
    runner
        .run_all(&[
            &format!("cat closed-loop/manifests/{group}"),
            &format!("kubectl create -f closed-loop/manifests/{group}"),
        ])
        .await?;
    if !runner.settings.realistic {
        runner
            .run_all(&[
                &format!("cat closed-loop/manifests/{windows}"),
                &format!(
                    "kubectl patch kcg kconsumer --type=merge --patch-file=closed-loop/manifests/{windows}"
                ),
            ])
            .await?;
    }
    if runner.settings.limit() != 1000 {
        let limit = runner.settings.limit();
        let patch = format!(
            "kubectl patch kcg kconsumer --type=merge --patch='{{\"spec\":{{\"averageRecordsLagLimit\":{limit}}}}}'"
        );
        runner.run(&patch, Expect::Success).await?;
    }
    runner.run_all(&["kubectl create -f closed-loop/manifests/producer.yaml"]).await?;
    runner
        .run_all(&[
            "kubectl wait kcg/kconsumer --for=condition=Ready --timeout=120s",
            "kubectl rollout status deployment/kproducer --timeout=120s",
            "kubectl wait kcg/kconsumer --for=condition=MetricsAvailable --timeout=180s",
            "kubectl wait kcg/kconsumer --for=condition=MonitoringAccepted --timeout=120s",
            "kubectl get deployment,service,hpa,servicemonitor,prometheusrule -l thenextapps.com/kconsumergroup",
            "kubectl get kcg",
        ])
        .await
}

async fn grow(runner: &mut Runner) -> Result<f64> {
    runner.step("The topic grows from one partition to three, and the ceiling follows")?;
    runner.mark("1 -> 3 partitions");
    runner
        .run_all(&[
            r#"kubectl patch kafkatopic fast-data-topic --type=merge --patch='{"spec":{"partitions":3}}'"#,
            "kubectl wait hpa/kconsumer --for=jsonpath='{.spec.maxReplicas}'=3 --timeout=30s",
            "kubectl wait kcg/kconsumer --for=jsonpath='{.status.maxReplicas}'=3 --timeout=30s",
        ])
        .await?;
    let took = requests::topic_to_ceiling(&runner.environment.plane.audit_log()?.all()?, TOPIC, GROUP)?;
    runner.print(&format!("(audit log: {took:.0} ms from the topic's change to the autoscaler's)"))?;
    // A client notices new partitions within a few seconds; then their lag is scraped.
    let metric = runner.settings.consumer.assigned_partitions();
    let assigned = format!("sum({metric}{{service=\"{GROUP}\"}})");
    runner.wait_for_metric(&assigned, 3.0, SHORT_LIMIT).await?;
    Ok(took)
}

async fn load(runner: &mut Runner) -> Result<f64> {
    let records = runner.settings.records;
    runner.step(&format!(
        "{} records and the end marker: the lag rises, and one consumer becomes three",
        count(records)
    ))?;
    let at = runner.mark("load");
    let send =
        format!("kubectl get --raw /api/v1/namespaces/default/services/kproducer:http/proxy/send/{records}");
    runner.run(&send, Expect::Success).await?;
    let limit = runner.settings.load_limit();
    runner.wait_until("three consumers", limit, |now| now.ready() == 3).await?;
    show_consumers(runner, 3).await?;
    Ok(at)
}

async fn kill(runner: &mut Runner) -> Result<()> {
    let (records, limit) = (runner.settings.records, runner.settings.load_limit());
    runner.step("A consumer and the leading controller are killed under load")?;
    runner
        .wait_until("a third of the records to be processed", limit, |now| now.processed >= records / 3)
        .await?;
    runner.require_lag(GROUP)?;
    let leader = runner.kill_consumer_and_leader(GROUP).await?;
    runner
        .wait_until("every record to be processed and committed", limit, |now| now.is_drained(records + 1))
        .await?;
    runner.wait_for_new_leader(&leader).await?;
    runner.run_all(&["kubectl get pods", "kubectl get kcg"]).await
}

/// With the realistic windows the alert fires only after a minute above the limit, for which a
/// small load is not enough.
fn check_alert(runner: &Runner, load: f64) -> Result<()> {
    if runner.has_fired(AlertName::LagHigh, GROUP, load) {
        return Ok(());
    }
    let alert = AlertName::LagHigh.as_str();
    ensure!(
        runner.settings.realistic,
        "{alert} did not fire, although the lag was above the limit: send more records"
    );
    runner.print(&format!("({alert} did not fire: the lag was above the limit for less than a minute)"))
}

async fn scale_in(runner: &mut Runner) -> Result<()> {
    runner.step("No lag is left: three consumers become one, and the alerts resolve")?;
    let limit = runner.settings.load_limit();
    runner.wait_until("one consumer", limit, |now| now.ready() == 1 && now.wanted() == 1).await?;
    runner.wait_until("no alert to fire", limit, |now| now.alerts.is_empty()).await?;
    show_consumers(runner, 1).await
}

/// Waits until the autoscaler and the group report this many consumers, then shows them.
async fn show_consumers(runner: &Runner, consumers: u32) -> Result<()> {
    let reported = |of: &str, field: &str| {
        format!("kubectl wait {of}/{GROUP} --for=jsonpath='{{.status.{field}}}'={consumers} --timeout=60s")
    };
    let [autoscaler, group] = [reported("hpa", "currentReplicas"), reported("kcg", "readyReplicas")];
    runner.run_all(&[&autoscaler, &group, "kubectl get hpa,pods", "kubectl get kcg"]).await
}

async fn delete(runner: &mut Runner) -> Result<()> {
    runner.step("The group is deleted, and its owned resources with it")?;
    runner
        .run_all(&[
            "kubectl delete kcg kconsumer",
            "kubectl wait --for=delete --timeout=60s deployment/kconsumer service/kconsumer hpa/kconsumer \\\n  \
             servicemonitor/kconsumer prometheusrule/kconsumer",
            "kubectl wait --for=delete --timeout=90s pods -l thenextapps.com/kconsumergroup=kconsumer",
            "kubectl delete -f closed-loop/manifests/producer.yaml -f closed-loop/manifests/topic.yaml",
        ])
        .await
}
