//! What is told, in order. Each chapter says what it waits for, and fails where that does not come.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::figures::count;
use super::outcome::{self, Load};
use super::report::Story;
use super::requests;
use super::teller::Teller;
use kcg_demo::terminal::Expect;

/// The group, its Deployment and its consumers' image.
pub const GROUP: &str = "kconsumer";
/// The topic that it consumes.
pub const TOPIC: &str = "fast-data-topic";
/// How long what takes seconds may take on a busy computer.
pub const SOON: Duration = Duration::from_mins(2);

/// The whole story; what was seen of it stays with the teller.
pub async fn tell(teller: &mut Teller) -> Result<Story> {
    refuse(teller).await?;
    create(teller).await?;
    let topic_to_ceiling_ms = Some(grow(teller).await?);
    let at = load(teller).await?;
    kill(teller).await?;
    fired(teller, at)?;
    rest(teller).await?;
    let (records, limit) = (teller.settings.records, teller.settings.limit());
    let sent = [(TOPIC.to_owned(), outcome::values(records).collect())].into();
    let load = Load { group: GROUP.into(), at, sent, limit, topic_to_ceiling_ms };
    let story = outcome::assemble(
        teller,
        &format!("{} records and the end marker, one topic, one group", count(records)),
        &[load],
    )?;
    delete(teller).await?;
    Ok(story)
}

async fn refuse(teller: &mut Teller) -> Result<()> {
    teller.chapter("A topic with one partition; a bad group is refused against it")?;
    let topic = [
        "kubectl create -f closed-loop/manifests/topic.yaml",
        "kubectl wait kafkatopic/fast-data-topic --for=condition=Ready --timeout=60s",
    ];
    teller.all(&topic).await?;
    teller.run("cat closed-loop/manifests/bad-group.yaml", Expect::Success).await?;
    teller.run("kubectl create -f closed-loop/manifests/bad-group.yaml", Expect::Rejection).await
}

async fn create(teller: &mut Teller) -> Result<()> {
    teller.chapter("A good one is created, and its consumer joins the group on the broker")?;
    teller
        .all(&["cat closed-loop/manifests/group.yaml", "kubectl create -f closed-loop/manifests/group.yaml"])
        .await?;
    if !teller.settings.realistic {
        teller
            .all(&[
                "cat closed-loop/manifests/short-windows.yaml",
                "kubectl patch kcg kconsumer --type=merge --patch-file=closed-loop/manifests/short-windows.yaml",
            ])
            .await?;
    }
    if teller.settings.limit() != 1000 {
        let limit = teller.settings.limit();
        let patch = format!(
            "kubectl patch kcg kconsumer --type=merge --patch='{{\"spec\":{{\"averageRecordsLagLimit\":{limit}}}}}'"
        );
        teller.run(&patch, Expect::Success).await?;
    }
    teller.all(&["kubectl create -f closed-loop/manifests/producer.yaml"]).await?;
    teller
        .all(&[
            "kubectl wait kcg/kconsumer --for=condition=Ready --timeout=120s",
            "kubectl rollout status deployment/kproducer --timeout=120s",
            "kubectl wait kcg/kconsumer --for=condition=MetricsAvailable --timeout=180s",
            "kubectl wait kcg/kconsumer --for=condition=MonitoringAccepted --timeout=120s",
            "kubectl get deployment,service,hpa,servicemonitor,prometheusrule -l thenextapps.com/kconsumergroup",
            "kubectl get kcg",
        ])
        .await
}

async fn grow(teller: &mut Teller) -> Result<f64> {
    teller.chapter("The topic grows from one partition to three, and the ceiling follows")?;
    teller.mark("1 -> 3 partitions");
    teller
        .all(&[
            r#"kubectl patch kafkatopic fast-data-topic --type=merge --patch='{"spec":{"partitions":3}}'"#,
            "kubectl wait hpa/kconsumer --for=jsonpath='{.spec.maxReplicas}'=3 --timeout=30s",
            "kubectl wait kcg/kconsumer --for=jsonpath='{.status.maxReplicas}'=3 --timeout=30s",
        ])
        .await?;
    let took = requests::topic_to_ceiling(&teller.stage.plane.audit_log()?.all()?, TOPIC, GROUP)?;
    teller.say(&format!(
        "(the API server's audit log: {took:.0} ms from the topic's change to the autoscaler's)"
    ))?;
    // A client looks for new partitions by itself, each few seconds; and the lag of each is then scraped.
    let assigned = format!("sum(kafka_consumer_coordinator_assigned_partitions{{service=\"{GROUP}\"}})");
    teller.until_metric(&assigned, 3.0, SOON).await?;
    Ok(took)
}

async fn load(teller: &mut Teller) -> Result<f64> {
    let records = teller.settings.records;
    teller.chapter(&format!(
        "{} records and the end marker: lag rises, and one consumer becomes three",
        count(records)
    ))?;
    let at = teller.mark("load");
    let send =
        format!("kubectl get --raw /api/v1/namespaces/default/services/kproducer:http/proxy/send/{records}");
    teller.run(&send, Expect::Success).await?;
    let patience = teller.settings.patience();
    teller.until("three consumers", patience, |now| now.ready() == 3).await?;
    told(teller, 3).await?;
    Ok(at)
}

async fn kill(teller: &mut Teller) -> Result<()> {
    let (records, patience) = (teller.settings.records, teller.settings.patience());
    teller.chapter("A consumer and the leading controller are killed in the middle")?;
    teller
        .until("a third of the records to be processed", patience, |now| now.processed >= records / 3)
        .await?;
    teller.must_be_behind(GROUP)?;
    let leader = teller.kill_both(GROUP).await?;
    teller
        .until("every record to be processed and committed", patience, |now| now.is_drained(records + 1))
        .await?;
    teller.until_succeeded(&leader).await?;
    teller.all(&["kubectl get pods", "kubectl get kcg"]).await
}

/// Kubernetes' own windows leave an alert its minute, which only a larger load fills.
fn fired(teller: &Teller, load: f64) -> Result<()> {
    let alert = format!("RecordsLagBreached-{GROUP}");
    if teller.has_fired(&alert, load) {
        return Ok(());
    }
    ensure!(
        teller.settings.realistic,
        "{alert} did not fire, though the lag was above the limit: send more records"
    );
    teller.say(&format!("({alert} did not fire: the lag was above the limit for less than a minute)"))
}

async fn rest(teller: &mut Teller) -> Result<()> {
    teller.chapter("Nothing is left to do: three become one, and no alert is left")?;
    let patience = teller.settings.patience();
    teller.until("one consumer", patience, |now| now.ready() == 1 && now.wanted() == 1).await?;
    teller.until("no alert to fire", patience, |now| now.alerts.is_empty()).await?;
    told(teller, 1).await
}

/// Shows so many consumers, once everybody has heard of them.
async fn told(teller: &Teller, consumers: u32) -> Result<()> {
    let heard = |of: &str, field: &str| {
        format!("kubectl wait {of}/{GROUP} --for=jsonpath='{{.status.{field}}}'={consumers} --timeout=60s")
    };
    let [autoscaler, group] = [heard("hpa", "currentReplicas"), heard("kcg", "readyReplicas")];
    teller.all(&[&autoscaler, &group, "kubectl get hpa,pods", "kubectl get kcg"]).await
}

async fn delete(teller: &mut Teller) -> Result<()> {
    teller.chapter("The group is deleted, and all that was made for it goes")?;
    teller
        .all(&[
            "kubectl delete kcg kconsumer",
            "kubectl wait --for=delete --timeout=60s deployment/kconsumer service/kconsumer hpa/kconsumer \\\n  \
             servicemonitor/kconsumer prometheusrule/kconsumer",
            "kubectl wait --for=delete --timeout=90s pods -l thenextapps.com/kconsumergroup=kconsumer",
            "kubectl delete -f closed-loop/manifests/producer.yaml -f closed-loop/manifests/topic.yaml",
        ])
        .await
}
