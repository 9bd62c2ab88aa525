//! Ten groups on twenty topics, with skewed keys.

use anyhow::{Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_demo::terminal::Expect;
use serde_json::{Value, json};

use super::objects;
use crate::consumer::Consumer;
use crate::observe::broker::Subscription;
use crate::observe::requests;
use crate::results::Results;
use crate::runner::{Load, Runner, sent_values};
use crate::settings::{SCALE_ALL_TOPICS, SCALE_GROUPS, SCALE_TOPICS, SHORT_LIMIT};

/// The partitions of each topic after it has grown: up to four consumers for each group.
const PARTITIONS: u32 = 2;
/// A thousand keys, distributed as the words of a text.
const KEYS: &str = "zipf:1.1";

/// Who consumes what.
pub(super) fn subscriptions() -> Vec<Subscription> {
    let group = |number: u64| {
        let topics = (1..=SCALE_TOPICS).map(|topic| format!("team-{number}-topic-{topic}")).collect();
        Subscription { group: format!("team-{number}"), topics }
    };
    (1..=SCALE_GROUPS).map(group).collect()
}

/// All steps in order: those of a single group, for all groups at once.
pub(crate) async fn run(runner: &mut Runner) -> Result<Results> {
    create(runner).await?;
    grow(runner).await?;
    let ceilings = ceilings(runner)?;
    let at = load(runner).await?;
    kill(runner).await?;
    scale_in(runner, at).await?;
    let records = runner.settings.records_by_topic();
    let loads: Vec<Load> = runner
        .groups
        .iter()
        .zip(ceilings)
        .map(|(Subscription { group, topics }, topic_to_ceiling_ms)| Load {
            group: group.clone(),
            at,
            sent: topics.iter().map(|topic| (topic.clone(), sent_values(records).collect())).collect(),
            limit: lag_limit(runner),
            topic_to_ceiling_ms,
        })
        .collect();
    let results = runner.collect("Ten groups, twenty topics, skewed keys", &loads)?;
    delete(runner).await?;
    Ok(results)
}

/// The averageRecordsLagLimit of each group: an eighth of a topic's records.
fn lag_limit(runner: &Runner) -> u64 {
    (runner.settings.records_by_topic() / 8).max(1)
}

async fn create(runner: &mut Runner) -> Result<()> {
    runner.step("Ten groups on twenty topics of one partition each")?;
    let settings = runner.settings.clone();
    // The consumers' assignor spreads the partitions of all topics.
    let mut scaling = json!({"partitions": "Sum"});
    if !settings.realistic {
        scaling["minReadySeconds"] = json!(1);
        scaling["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 15, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}});
    }
    let mut objects = topics(runner, 1);
    for Subscription { group, topics } in &runner.groups {
        objects.push(objects::group(Consumer::Rust, group, topics, lag_limit(runner), &scaling, &settings));
    }
    runner.environment.plane.apply_yaml(&objects::manifest(&objects)).await?;
    runner
        .run_all(&[
            "kubectl wait kcg --all --for=condition=Ready --timeout=180s",
            "kubectl wait kcg --all --for=condition=MetricsAvailable --timeout=180s",
            "kubectl wait kcg --all --for=condition=MonitoringAccepted --timeout=180s",
            "kubectl get kcg",
        ])
        .await?;
    runner
        .run(
            "kubectl patch kcg team-1 --type=merge --patch='{\"spec\":{\"minReplicas\":3}}'",
            Expect::Rejection,
        )
        .await
}

/// All topics, with this many partitions each.
fn topics(runner: &Runner, partitions: u32) -> Vec<Value> {
    let topics = runner.groups.iter().flat_map(|subscription| &subscription.topics);
    topics.map(|topic| objects::topic(topic, partitions)).collect()
}

async fn grow(runner: &mut Runner) -> Result<()> {
    runner.step("Each topic grows to two partitions, and every ceiling follows")?;
    runner.mark("1 -> 2 partitions");
    let topics = objects::manifest(&topics(runner, PARTITIONS));
    runner.environment.plane.apply_yaml(&topics).await?;
    runner
        .run_all(&[
            "kubectl wait hpa --all --for=jsonpath='{.spec.maxReplicas}'=4 --timeout=60s",
            "kubectl wait kcg --all --for=jsonpath='{.status.maxReplicas}'=4 --timeout=60s",
        ])
        .await?;
    // A client notices new partitions within a few seconds; then their lag is scraped.
    let metric = Consumer::Rust.assigned_partitions();
    let assigned = &format!(r#"sum({metric}{{service=~"team-.*"}})"#);
    #[allow(clippy::cast_precision_loss)] // Forty.
    let all = (SCALE_ALL_TOPICS * u64::from(PARTITIONS)) as f64;
    runner.wait_for_metric(assigned, all, SHORT_LIMIT).await
}

/// The time from the growth of each group's last topic to the change of its ceiling, in
/// milliseconds.
fn ceilings(runner: &Runner) -> Result<Vec<Option<f64>>> {
    let events = runner.environment.plane.audit_log()?.all()?;
    let of = |Subscription { group, topics }: &Subscription| {
        topics.last().map(|topic| requests::topic_to_ceiling(&events, topic, group)).transpose()
    };
    runner.groups.iter().map(of).collect()
}

async fn load(runner: &mut Runner) -> Result<f64> {
    let (records, limit) = (runner.settings.records_by_topic(), runner.settings.load_limit());
    runner.step(&format!("{records} records with skewed keys and the end marker to each topic"))?;
    let at = runner.mark("load");
    let producers: Vec<_> = runner
        .groups
        .iter()
        .map(|Subscription { group, topics }| {
            objects::producer(&format!("producer-{group}"), topics, records, KEYS)
        })
        .collect();
    runner.environment.plane.apply_yaml(&objects::manifest(&producers)).await?;
    let all = u64::from(SCALE_TOPICS * PARTITIONS);
    runner.wait_until("a consumer for each partition", limit, |now| now.most_ready() == all).await?;
    runner.run("kubectl get kcg", Expect::Success).await?;
    Ok(at)
}

async fn kill(runner: &mut Runner) -> Result<()> {
    let (records, limit) = (runner.settings.records_by_topic(), runner.settings.load_limit());
    runner.step("A consumer and the leading controller are killed under load")?;
    let behind = runner.observe()?.into_iter().map(|now| now.behind());
    let furthest = behind.zip(&runner.groups).max_by_key(|(behind, _)| *behind);
    let group = furthest.map(|(_, subscription)| subscription.group.clone()).unwrap_or_default();
    runner.require_lag(&group)?;
    let leader = runner.kill_consumer_and_leader(&group).await?;
    let all = u64::from(SCALE_TOPICS) * (records + 1);
    runner.wait_until("every record to be processed and committed", limit, |now| now.is_drained(all)).await?;
    runner.wait_for_new_leader(&leader).await
}

async fn scale_in(runner: &mut Runner, load: f64) -> Result<()> {
    let alert = AlertName::LagHigh.as_str();
    let fired = runner
        .groups
        .iter()
        .filter(|subscription| runner.has_fired(AlertName::LagHigh, &subscription.group, load))
        .count();
    ensure!(fired > 0 || runner.settings.realistic, "{alert} fired for no group: send more records");
    runner.print(&format!("({alert} has fired for {fired} of {SCALE_GROUPS} groups)"))?;
    runner.step("No lag is left: all groups scale in to one consumer, and the alerts resolve")?;
    let limit = runner.settings.load_limit();
    runner.wait_until("one consumer each", limit, |now| now.ready() == 1 && now.wanted() == 1).await?;
    runner.wait_until("no alert to fire", limit, |now| now.alerts.is_empty()).await?;
    runner.run("kubectl get kcg", Expect::Success).await
}

async fn delete(runner: &mut Runner) -> Result<()> {
    runner.step("The groups are deleted, and their owned resources with them")?;
    runner
        .run_all(&[
            "kubectl delete kcg --all",
            "kubectl wait --for=delete --timeout=120s \\\n  \
             deployment,service,hpa,servicemonitor,prometheusrule,pods -l thenextapps.com/kconsumergroup",
            "kubectl delete kafkatopics --all",
        ])
        .await
}
