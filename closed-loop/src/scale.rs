//! The story at scale: ten groups, twenty topics, skewed keys.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::broker::Subscription;
use super::groups;
use super::outcome::{self, Load};
use super::report::Story;
use super::requests;
use super::story::SOON;
use super::teller::Teller;
use kcg_demo::terminal::Expect;

const GROUPS: u64 = 10;
/// Each group consumes two topics, of two partitions in the end: up to four consumers.
const TOPICS: u32 = 2;
/// Of all groups.
pub const ALL_TOPICS: u64 = GROUPS * TOPICS as u64;
const PARTITIONS: u32 = 2;
/// Of a thousand keys, as words in a text are distributed.
const KEYS: &str = "zipf:1.1";

/// Who consumes what.
pub fn subscriptions() -> Vec<Subscription> {
    let group = |number: u64| {
        let topics = (1..=TOPICS).map(|topic| format!("team-{number}-topic-{topic}")).collect();
        Subscription { group: format!("team-{number}"), topics }
    };
    (1..=GROUPS).map(group).collect()
}

/// The whole story: the one of a single group, for all at once.
pub async fn tell(teller: &mut Teller) -> Result<Story> {
    create(teller).await?;
    grow(teller).await?;
    let ceilings = ceilings(teller)?;
    let at = load(teller).await?;
    kill(teller).await?;
    rest(teller, at).await?;
    let records = teller.settings.records_by_topic();
    let loads: Vec<Load> = teller
        .groups
        .iter()
        .zip(ceilings)
        .map(|(Subscription { group, topics }, topic_to_ceiling_ms)| Load {
            group: group.clone(),
            at,
            sent: topics.iter().map(|topic| (topic.clone(), outcome::values(records).collect())).collect(),
            limit: limit(teller),
            topic_to_ceiling_ms,
        })
        .collect();
    let story = outcome::assemble(teller, "Ten groups, twenty topics, skewed keys", &loads)?;
    delete(teller).await?;
    Ok(story)
}

/// What one consumer may be behind: an eighth of what a topic gets.
fn limit(teller: &Teller) -> u64 {
    (teller.settings.records_by_topic() / 8).max(1)
}

async fn create(teller: &mut Teller) -> Result<()> {
    teller.chapter("Ten groups on twenty topics of one partition each")?;
    let settings = teller.settings.clone();
    let scaling = if settings.realistic {
        json!({})
    } else {
        json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 15, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}}})
    };
    let mut objects = topics(teller, 1);
    for Subscription { group, topics } in &teller.groups {
        objects.push(groups::group(group, topics, limit(teller), &scaling, &settings));
    }
    teller.stage.plane.apply_yaml(&groups::manifest(&objects)).await?;
    teller
        .all(&[
            "kubectl wait kcg --all --for=condition=Ready --timeout=180s",
            "kubectl wait kcg --all --for=condition=MetricsAvailable --timeout=180s",
            "kubectl wait kcg --all --for=condition=MonitoringAccepted --timeout=180s",
            "kubectl get kcg",
        ])
        .await?;
    teller
        .run(
            "kubectl patch kcg team-1 --type=merge --patch='{\"spec\":{\"minReplicas\":3}}'",
            Expect::Rejection,
        )
        .await
}

/// All topics, with so many partitions each.
fn topics(teller: &Teller, partitions: u32) -> Vec<Value> {
    let topics = teller.groups.iter().flat_map(|subscription| &subscription.topics);
    topics.map(|topic| groups::topic(topic, partitions)).collect()
}

async fn grow(teller: &mut Teller) -> Result<()> {
    teller.chapter("Each topic grows to two partitions, and every ceiling follows")?;
    teller.mark("1 -> 2 partitions");
    let topics = groups::manifest(&topics(teller, PARTITIONS));
    teller.stage.plane.apply_yaml(&topics).await?;
    teller
        .all(&[
            "kubectl wait hpa --all --for=jsonpath='{.spec.maxReplicas}'=4 --timeout=60s",
            "kubectl wait kcg --all --for=jsonpath='{.status.maxReplicas}'=4 --timeout=60s",
        ])
        .await?;
    // A client looks for new partitions by itself, each few seconds; and the lag of each is then scraped.
    let assigned = r#"sum(kafka_consumer_coordinator_assigned_partitions{service=~"team-.*"})"#;
    #[allow(clippy::cast_precision_loss)] // Forty.
    let all = (ALL_TOPICS * u64::from(PARTITIONS)) as f64;
    teller.until_metric(assigned, all, SOON).await
}

/// From the growth of each group's last topic to its ceiling's.
fn ceilings(teller: &Teller) -> Result<Vec<Option<f64>>> {
    let events = teller.stage.plane.audit_log()?.all()?;
    let of = |Subscription { group, topics }: &Subscription| {
        topics.last().map(|topic| requests::topic_to_ceiling(&events, topic, group)).transpose()
    };
    teller.groups.iter().map(of).collect()
}

async fn load(teller: &mut Teller) -> Result<f64> {
    let (records, patience) = (teller.settings.records_by_topic(), teller.settings.patience());
    teller.chapter(&format!("{records} records with skewed keys and the end marker to each topic"))?;
    let at = teller.mark("load");
    let producers: Vec<_> = teller
        .groups
        .iter()
        .map(|Subscription { group, topics }| {
            groups::producer(&format!("producer-{group}"), topics, records, KEYS)
        })
        .collect();
    teller.stage.plane.apply_yaml(&groups::manifest(&producers)).await?;
    let all = u64::from(TOPICS * PARTITIONS);
    teller.until("a consumer for each partition", patience, |now| now.most_ready() == all).await?;
    teller.run("kubectl get kcg", Expect::Success).await?;
    Ok(at)
}

async fn kill(teller: &mut Teller) -> Result<()> {
    let (records, patience) = (teller.settings.records_by_topic(), teller.settings.patience());
    teller.chapter("A consumer and the leading controller are killed in the middle")?;
    let behind = teller.look()?.into_iter().map(|now| now.behind());
    let furthest = behind.zip(&teller.groups).max_by_key(|(behind, _)| *behind);
    let group = furthest.map(|(_, subscription)| subscription.group.clone()).unwrap_or_default();
    teller.must_be_behind(&group)?;
    let leader = teller.kill_both(&group).await?;
    let all = u64::from(TOPICS) * (records + 1);
    teller.until("every record to be processed and committed", patience, |now| now.is_drained(all)).await?;
    teller.until_succeeded(&leader).await
}

async fn rest(teller: &mut Teller, load: f64) -> Result<()> {
    let fired = teller
        .groups
        .iter()
        .filter(|subscription| teller.has_fired(&format!("RecordsLagBreached-{}", subscription.group), load))
        .count();
    ensure!(
        fired > 0 || teller.settings.realistic,
        "RecordsLagBreached fired for no group: send more records"
    );
    teller.say(&format!("(RecordsLagBreached has fired for {fired} of {GROUPS} groups)"))?;
    teller.chapter("Nothing is left to do: all shrink to one, and the alerts resolve")?;
    let patience = teller.settings.patience();
    teller.until("one consumer each", patience, |now| now.ready() == 1 && now.wanted() == 1).await?;
    teller.until("no alert to fire", patience, |now| now.alerts.is_empty()).await?;
    teller.run("kubectl get kcg", Expect::Success).await
}

async fn delete(teller: &mut Teller) -> Result<()> {
    teller.chapter("The groups are deleted, and all that was made for them goes")?;
    teller
        .all(&[
            "kubectl delete kcg --all",
            "kubectl wait --for=delete --timeout=120s \\\n  \
             deployment,service,hpa,servicemonitor,prometheusrule,pods -l thenextapps.com/kconsumergroup",
            "kubectl delete kafkatopics --all",
        ])
        .await
}
